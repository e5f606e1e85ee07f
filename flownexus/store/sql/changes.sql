-- name: change_horizon()$
SELECT change_horizon();

-- name: changes(endpoints, after_at, after_kind, after_id, until, limit)
-- By when they were written, their kind and their id: behind a position, and before a time.
SELECT at, kind, id, endpoint, path, what, status, time
FROM (
    SELECT v.stored_at AS at, 1 AS kind, v.id, v.endpoint, v.path, v.value AS what, NULL::text AS status, v.time
    FROM telemetry v
    WHERE v.stored_at >= :after_at AND v.stored_at < :until
      AND (:endpoints::text[] IS NULL OR v.endpoint = ANY (:endpoints))
    UNION ALL
    SELECT v.stored_at, 2, v.id, e.name, NULL, v.event_type, NULL, v.time
    FROM event v
    JOIN endpoint e ON e.id = v.endpoint_id
    WHERE v.stored_at >= :after_at AND v.stored_at < :until
      AND v.event_type IN ('registered', 'updated', 'unregistered', 'heard')
      AND (:endpoints::text[] IS NULL OR e.name = ANY (:endpoints))
    UNION ALL
    SELECT o.created_at, 3, o.id, e.name, o.path, o.operation_type, 'QUEUED', o.created_at
    FROM endpoint_operation o
    JOIN endpoint e ON e.id = o.endpoint_id
    WHERE o.created_at >= :after_at AND o.created_at < :until
      AND (:endpoints::text[] IS NULL OR e.name = ANY (:endpoints))
    UNION ALL
    SELECT o.finished_at, 4, o.id, e.name, o.path, o.operation_type, o.status, o.finished_at
    FROM endpoint_operation o
    JOIN endpoint e ON e.id = o.endpoint_id
    WHERE o.finished_at >= :after_at AND o.finished_at < :until
      AND (:endpoints::text[] IS NULL OR e.name = ANY (:endpoints))
) AS c
WHERE (at, kind, id) > (:after_at::timestamptz, :after_kind::integer, :after_id::bigint)
ORDER BY at, kind, id
LIMIT :limit;
