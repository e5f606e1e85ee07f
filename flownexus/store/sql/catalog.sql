-- name: catalog_identity()$
-- What ids that were looked up earlier hold for, see the view. Statements that use such ids return it with them.
SELECT identity FROM catalog_identity;

-- name: endpoint_ids(names)
-- The ids of the endpoints of these names.
SELECT name, id FROM endpoint WHERE name = ANY(:names);

-- name: add_endpoints(names)!
INSERT INTO endpoint (name) SELECT name FROM unnest(:names::text[]) AS wanted(name) ORDER BY name
ON CONFLICT (name) DO NOTHING;

-- name: resource_types(object_ids, resource_ids)
SELECT t.object_id, t.resource_id, t.id, coalesce(m.data_type, t.data_type) AS data_type, m.data_type IS NOT NULL AS by_model
FROM resource_type t
JOIN unnest(:object_ids::integer[], :resource_ids::integer[]) AS wanted(object_id, resource_id)
    USING (object_id, resource_id)
LEFT JOIN resource_model m USING (object_id, resource_id);

-- name: add_resource_types(object_ids, resource_ids, data_types)!
-- Types as the models have them, without a model as given. OPAQUE, which says nothing, gives way to what is given later.
INSERT INTO resource_type (object_id, resource_id, data_type, name, units)
SELECT object_id, resource_id, coalesce(m.data_type, given.data_type), m.name, m.units
FROM unnest(:object_ids::integer[], :resource_ids::integer[], :data_types::text[])
     AS given(object_id, resource_id, data_type)
LEFT JOIN resource_model m USING (object_id, resource_id)
ORDER BY 1, 2
ON CONFLICT (object_id, resource_id) DO UPDATE SET data_type = excluded.data_type
WHERE resource_type.data_type = 'OPAQUE' AND excluded.data_type <> 'OPAQUE';
