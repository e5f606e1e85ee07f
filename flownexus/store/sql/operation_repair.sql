-- name: expired_operations_of_endpoints(names)
SELECT o.id, o.fence, o.operation_type AS operation, o.path, o.paths, o.value, o.arguments, o.repeatable, o.attempts,
       e.name AS endpoint
FROM endpoint_operation o
JOIN endpoint e ON e.id = o.endpoint_id
WHERE e.name = ANY(:names::text[]) AND o.lease_expires_at <= statement_timestamp()
FOR UPDATE OF o;

-- name: expired_operations(limit)
SELECT o.id, o.fence, o.operation_type AS operation, o.path, o.paths, o.value, o.arguments, o.repeatable, o.attempts,
       e.name AS endpoint
FROM endpoint_operation o
JOIN endpoint e ON e.id = o.endpoint_id
WHERE o.lease_expires_at <= statement_timestamp()
ORDER BY o.lease_expires_at
LIMIT :limit
FOR NO KEY UPDATE SKIP LOCKED; -- of both: an endpoint that somebody holds is left for the next round

-- name: endpoints_to_hint(untouched, but, limit)
-- Those that could be sent something for a while already: the hint was lost, or nobody could act on it. And those
-- that are to be asked again, of which nobody else tells.
SELECT e.name, ARRAY[next.id]
FROM (SELECT DISTINCT endpoint_id
      FROM endpoint_operation
      WHERE status = 'QUEUED'
        AND coalesce(not_before, greatest(created_at, last_attempt_at) + make_interval(secs => :untouched))
            <= clock_timestamp()) AS waiting
JOIN endpoint e ON e.id = waiting.endpoint_id
CROSS JOIN LATERAL next_operation(e.id) AS next
WHERE next.id <> ALL (:but::bigint[])
  AND coalesce(next.not_before, next.touched_at + make_interval(secs => :untouched)) <= clock_timestamp()
ORDER BY next.touched_at
LIMIT :limit;

-- name: end_expired_operations(limit)!
-- Before this, next_operation() has not given them any more. Who is about to claim one holds its row.
UPDATE endpoint_operation
SET status = 'EXPIRED', finished_at = clock_timestamp(),
    reason = 'it expired ' || CASE attempts WHEN 0 THEN 'before it was sent' WHEN 1 THEN 'after one attempt'
                                            ELSE 'after ' || attempts || ' attempts' END || coalesce(': ' || reason, '')
WHERE id IN (SELECT id FROM endpoint_operation
             WHERE status = 'QUEUED' AND expires_at <= clock_timestamp()
             ORDER BY expires_at
             LIMIT :limit
             FOR NO KEY UPDATE SKIP LOCKED);
