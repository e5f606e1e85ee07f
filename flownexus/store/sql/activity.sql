-- name: activity(endpoint, limit)
-- What a device told of itself, what was asked of it, grave lines of its log, and what people did with it; newest first.
WITH device AS (SELECT id, name, expires_at FROM endpoint WHERE name = :endpoint)
(SELECT v.time, 'event' AS kind, v.event_type AS what, NULL::bigint AS id, NULL::text AS path, NULL::text AS status,
        NULL::text AS by, NULL::text AS words, NULL::text AS answer, 0 AS attempts
 FROM event v
 WHERE v.endpoint_id = (SELECT id FROM device)
   AND v.event_type IN ('registered', 'updated', 'unregistered', 'heard')
 ORDER BY v.time DESC
 LIMIT :limit)
UNION ALL
(SELECT d.expires_at, 'event', 'expired', NULL, NULL, NULL, NULL, NULL, NULL, 0
 FROM device d WHERE d.expires_at <= statement_timestamp())
UNION ALL
(SELECT coalesce(o.finished_at, o.last_attempt_at, o.created_at), 'operation', o.operation_type, o.id,
        coalesce(o.path, array_to_string(o.paths, ' ')), o.status, o.requested_by, o.reason, o.result ->> 'status', o.attempts
 FROM endpoint_operation o
 WHERE o.endpoint_id = (SELECT id FROM device)
 ORDER BY o.id DESC
 LIMIT :limit)
UNION ALL
(SELECT l.time, 'log', l.severity_name, NULL, l.path, NULL, l.source, l.message, NULL, 0
 FROM log_entry l
 WHERE l.endpoint = :endpoint AND l.severity <= 3
 ORDER BY l.time DESC
 LIMIT :limit)
UNION ALL
(SELECT (a.entry ->> 'at')::timestamptz, 'audit', a.entry ->> 'action', a.id, NULL, NULL, a.entry ->> 'by', NULL, NULL, 0
 FROM audit_entry a
 WHERE a.endpoint = :endpoint AND a.entry ->> 'action' <> 'operation-queued'
 ORDER BY a.id DESC
 LIMIT :limit)
ORDER BY 1 DESC
LIMIT :limit;
