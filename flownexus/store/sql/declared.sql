-- name: event_types()
SELECT name, paths, description, set_by, set_at FROM event_type ORDER BY name;

-- name: put_event_type(name, paths, description, set_by, most)^
-- Nothing where it would be one too many; else whether it is new.
INSERT INTO event_type AS known (name, paths, description, set_by)
SELECT :name, :paths::text[], :description, :set_by
WHERE (SELECT count(*) FROM event_type WHERE name <> :name) < :most
ON CONFLICT (name) DO UPDATE SET
    paths = excluded.paths, description = excluded.description, set_by = excluded.set_by, set_at = clock_timestamp()
RETURNING name, paths, description, set_by, set_at, xmax = 0 AS added;

-- name: remove_event_type(name)^
DELETE FROM event_type WHERE name = :name RETURNING name, paths, description, set_by, set_at;

-- name: declared_log_resources()
SELECT object_id, resource_id, cumulative, set_by, set_at FROM log_resource ORDER BY object_id, resource_id;

-- name: put_log_resource(object_id, resource_id, cumulative, set_by, most)^
-- As put_event_type.
INSERT INTO log_resource AS known (object_id, resource_id, cumulative, set_by)
SELECT :object_id, :resource_id, :cumulative, :set_by
WHERE (SELECT count(*) FROM log_resource WHERE (object_id, resource_id) <> (:object_id, :resource_id)) < :most
ON CONFLICT (object_id, resource_id) DO UPDATE SET
    cumulative = excluded.cumulative, set_by = excluded.set_by, set_at = clock_timestamp()
RETURNING object_id, resource_id, cumulative, set_by, set_at, xmax = 0 AS added;

-- name: remove_log_resource(object_id, resource_id)^
DELETE FROM log_resource WHERE object_id = :object_id AND resource_id = :resource_id
RETURNING object_id, resource_id, cumulative, set_by, set_at;

-- name: types_of_resource(object_id, resource_id)
-- The types that models, and values that came, have for a resource.
SELECT DISTINCT coalesce(m.data_type, t.data_type) AS data_type
FROM resource_model m
FULL JOIN resource_type t USING (object_id, resource_id)
WHERE object_id = :object_id AND resource_id = :resource_id AND coalesce(m.data_type, t.data_type) IS NOT NULL;
