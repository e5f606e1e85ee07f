-- name: log_resources()
SELECT object_id, resource_id, cumulative FROM log_resource;

-- name: log_tail(endpoint_id, object_id, object_instance_id, resource_id, resource_instance_id)$
SELECT content FROM device_log_tail
WHERE endpoint_id = :endpoint_id AND object_id = :object_id AND object_instance_id = :object_instance_id
  AND resource_id = :resource_id AND resource_instance_id IS NOT DISTINCT FROM :resource_instance_id::integer
FOR UPDATE;

-- name: keep_log_tail(endpoint_id, object_id, object_instance_id, resource_id, resource_instance_id, content)!
INSERT INTO device_log_tail (endpoint_id, object_id, object_instance_id, resource_id, resource_instance_id, content)
VALUES (:endpoint_id, :object_id, :object_instance_id, :resource_id, :resource_instance_id, :content)
ON CONFLICT (endpoint_id, object_id, object_instance_id, resource_id, resource_instance_id)
DO UPDATE SET content = excluded.content;

-- name: add_log_entries(times, endpoint_id, object_id, object_instance_id, resource_id, severities, sources, messages, raws)!
-- In their order, which those of one time keep by their ids.
INSERT INTO device_log (time, endpoint_id, object_id, object_instance_id, resource_id, severity, source, message, raw)
SELECT time, :endpoint_id, :object_id, :object_instance_id, :resource_id, severity, source, message, raw
FROM unnest(:times::timestamptz[], :severities::smallint[], :sources::text[], :messages::text[], :raws::bytea[])
     WITH ORDINALITY AS added (time, severity, source, message, raw, place)
ORDER BY place;

-- name: log_entries(endpoint, from_time, to_time, severity, source, pattern, before_time, before_id, limit)
-- The newest first, older than the cursor.
SELECT time, id, endpoint, path, severity, severity_name, source, message, hex
FROM log_entry
WHERE (:endpoint::text IS NULL OR endpoint = :endpoint)
  AND (:from_time::timestamptz IS NULL OR time >= :from_time)
  AND (:to_time::timestamptz IS NULL OR time < :to_time)
  AND (:severity::integer IS NULL OR severity <= :severity)
  AND (:source::text IS NULL OR source = :source)
  AND (:pattern::text IS NULL OR message ILIKE :pattern)
  AND (:before_time::timestamptz IS NULL OR (time, id) < (:before_time, :before_id))
ORDER BY time DESC, id DESC
LIMIT :limit;
