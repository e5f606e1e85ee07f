-- name: known_resources(endpoint, object_ids, resource_ids)
-- By the models, whether they were seen or not: of the version that the endpoint has, else of the newest that has the
-- resource. Without a model the data type is the one that was seen.
SELECT wanted.object_id, wanted.resource_id, coalesce(m.data_type, t.data_type) AS data_type,
       m.version, m.name, m.operations, m.range
FROM unnest(:object_ids::integer[], :resource_ids::integer[]) AS wanted(object_id, resource_id)
LEFT JOIN LATERAL (
    SELECT r.data_type, r.version, r.name, r.operations, r.range
    FROM object_model_resource r
    WHERE r.object_id = wanted.object_id AND r.resource_id = wanted.resource_id
    ORDER BY r.version = coalesce((SELECT coalesce(e.object_versions ->> wanted.object_id::text, '1.0')
                                   FROM endpoint e WHERE e.name = :endpoint::text AND e.objects IS NOT NULL), '') DESC,
             version_order(r.version) DESC
    LIMIT 1
) AS m ON true
LEFT JOIN resource_type t ON t.object_id = wanted.object_id AND t.resource_id = wanted.resource_id;

-- name: add_object_model(object_id, version, name, multiple, xml, added_by)!
-- None where this version of the object is there.
INSERT INTO object_model (object_id, version, name, multiple, xml, added_by)
VALUES (:object_id, :version, :name, :multiple, :xml, :added_by)
ON CONFLICT (object_id, version) DO NOTHING;

-- name: add_object_model_resources(object_id, version, resource_ids, names, operations, multiple, mandatory, data_types, ranges, units)!
INSERT INTO object_model_resource
      (object_id, version, resource_id, name, operations, multiple, mandatory, data_type, range, units)
SELECT :object_id, :version, resource_id, name, operations, multiple, mandatory, data_type, range, units
FROM unnest(:resource_ids::integer[], :names::text[], :operations::text[], :multiple::boolean[], :mandatory::boolean[],
            :data_types::text[], :ranges::text[], :units::text[])
     AS added (resource_id, name, operations, multiple, mandatory, data_type, range, units);

-- name: remove_object_model(object_id, version)!
-- One that a user has added.
DELETE FROM object_model WHERE object_id = :object_id AND version = :version AND added_by IS NOT NULL;

-- name: refresh_resource_models(object_id, resource_ids)$
SELECT refresh_resource_models(:object_id, :resource_ids::integer[]);

-- name: object_model(object_id, version)^
SELECT object_id, version, name, multiple, added_by, added_at FROM object_model
WHERE object_id = :object_id AND version = :version;

-- name: object_model_xml(object_id, version)$
SELECT xml FROM object_model WHERE object_id = :object_id AND version = :version;

-- name: object_model_resources(object_id, version)
SELECT resource_id AS id, name, operations, multiple, mandatory, data_type, range, units
FROM object_model_resource
WHERE object_id = :object_id AND version = :version
ORDER BY resource_id;

-- name: object_models(object_id, added_only, after_object_id, after_version, limit)
-- By object, the oldest version first.
SELECT object_id, version, name, multiple, added_by, added_at FROM object_model
WHERE (:object_id::integer IS NULL OR object_id = :object_id)
  AND (NOT :added_only OR added_by IS NOT NULL)
  AND (:after_object_id::integer IS NULL
       OR (object_id, version_order(version)) > (:after_object_id, version_order(:after_version::text)))
ORDER BY object_id, version_order(version)
LIMIT :limit;

-- name: users_models()
-- What Leshan does not have in its jar.
SELECT o.object_id, o.version, o.name AS object_name, o.multiple AS object_multiple,
       r.resource_id, r.name, r.operations, r.multiple, r.mandatory, r.data_type, r.units
FROM object_model o
LEFT JOIN object_model_resource r ON r.object_id = o.object_id AND r.version = o.version
WHERE o.added_by IS NOT NULL
ORDER BY o.object_id, o.version, r.resource_id;
