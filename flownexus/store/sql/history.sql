-- name: series(endpoint, path, start, end, points)
SELECT "time", minimum, maximum, mean, last, count
FROM series(ARRAY[:endpoint::text], ARRAY[:path::text], :start, :end, :points);

-- name: past_values(endpoint, object_id, object_instance_id, resource_id, resource_instance_id, start, end, after_time, after_id, limit)
-- By time; values of one time by their ids.
SELECT time, id, stored_at, number, value
FROM telemetry
WHERE endpoint = :endpoint AND object_id = :object_id AND object_instance_id = :object_instance_id
  AND resource_id = :resource_id AND resource_instance_id IS NOT DISTINCT FROM :resource_instance_id::integer
  AND time >= :start::timestamptz AND time < :end::timestamptz
  AND (:after_time::timestamptz IS NULL OR (time, id) > (:after_time, :after_id::bigint))
ORDER BY time, id
LIMIT :limit;
