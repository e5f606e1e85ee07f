-- name: events(endpoint_id, types, start, end, before_time, before_id, limit)
-- The newest first. The values are looked up only of those that are returned.
SELECT v.time, v.id, v.stored_at, e.name AS endpoint, v.event_type AS type, event_name(told.paths) AS name, told.values
FROM (SELECT time, id, stored_at, endpoint_id, event_type
      FROM event
      WHERE (:endpoint_id::integer IS NULL OR endpoint_id = :endpoint_id)
        AND event_type = ANY (:types::text[])
        AND (:start::timestamptz IS NULL OR time >= :start)
        AND (:end::timestamptz IS NULL OR time < :end)
        AND (:before_time::timestamptz IS NULL
             OR time <= :before_time AND (time, id) < (:before_time, :before_id::bigint))
      ORDER BY time DESC, id DESC
      LIMIT :limit) AS v
JOIN endpoint e ON e.id = v.endpoint_id
CROSS JOIN LATERAL (
    SELECT coalesce(jsonb_agg(jsonb_build_object('path', t.path, 'value', t.value) ORDER BY t.object_id,
                              t.object_instance_id, t.resource_id, t.resource_instance_id), '[]') AS values,
           coalesce(array_agg(t.path), '{}') AS paths
    FROM event_resource er
    JOIN telemetry t ON t.time = er.time AND t.id = er.resource_id
    WHERE er.time = v.time AND er.event_id = v.id) AS told
ORDER BY v.time DESC, v.id DESC;
