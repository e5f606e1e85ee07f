-- name: add_operation(endpoint, operation, path, paths, concerns, value, secret, arguments, repeatable, priority, requested_by, idempotency_key, fingerprint, not_before, expires_at, expires_in, max_queued)^
-- None where the endpoint was never seen, has too many that wait, the key was used before, or it would be expired.
WITH added AS (
INSERT INTO endpoint_operation (endpoint_id, operation_type, path, paths, concerns, value, arguments, repeatable,
                                priority, requested_by, idempotency_key, request_fingerprint, not_before, expires_at,
                                has_secret)
SELECT e.id, :operation, :path::text, :paths::text[], :concerns::text[], :value, :arguments, :repeatable, :priority,
       :requested_by, :idempotency_key::text, :fingerprint::bytea, :not_before::timestamptz,
       coalesce(:expires_at::timestamptz, clock_timestamp() + make_interval(secs => :expires_in::double precision)),
       :secret::jsonb IS NOT NULL
FROM endpoint e
WHERE e.name = :endpoint AND coalesce(:expires_at::timestamptz > clock_timestamp(), true)
  AND (SELECT count(*)
       FROM (SELECT FROM endpoint_operation q
             WHERE q.endpoint_id = e.id AND q.status = 'QUEUED' AND q.registration_id IS NULL
             LIMIT :max_queued) AS waiting) < :max_queued
ON CONFLICT (coalesce(requested_by, 'api'), idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
RETURNING id, :endpoint::text AS endpoint, operation_type AS operation, path, paths, value, arguments, repeatable,
          priority, status, attempts, result, reason, created_at, last_attempt_at, finished_at, requested_by,
          not_before, expires_at
), kept AS (
INSERT INTO operation_secret (operation_id, value) SELECT id, :secret::jsonb FROM added WHERE :secret::jsonb IS NOT NULL
)
SELECT * FROM added;

-- name: operation_of_key(requested_by, idempotency_key)^
SELECT id, request_fingerprint FROM endpoint_operation
WHERE coalesce(requested_by, 'api') = :requested_by AND idempotency_key = :idempotency_key;

-- name: is_past(time)$
SELECT :time::timestamptz <= clock_timestamp();

-- name: operation(id)^
SELECT o.id, e.name AS endpoint, o.operation_type AS operation, o.path, o.paths, o.value, o.arguments, o.repeatable,
       o.priority, o.status, o.attempts, o.result, o.reason, o.created_at, o.last_attempt_at, o.finished_at,
       o.requested_by, o.not_before, o.expires_at
FROM endpoint_operation o
JOIN endpoint e ON e.id = o.endpoint_id
WHERE o.id = :id;

-- name: operations(endpoint, status, cursor, limit)
-- The newest first, older than the cursor.
SELECT o.id, e.name AS endpoint, o.operation_type AS operation, o.path, o.paths, o.value, o.arguments, o.repeatable,
       o.priority, o.status, o.attempts, o.result, o.reason, o.created_at, o.last_attempt_at, o.finished_at,
       o.requested_by, o.not_before, o.expires_at
FROM endpoint_operation o
JOIN endpoint e ON e.id = o.endpoint_id
WHERE (:endpoint::text IS NULL OR o.endpoint_id = (SELECT id FROM endpoint WHERE name = :endpoint))
  AND (:status::text IS NULL OR o.status = :status)
  AND (:cursor::bigint IS NULL OR o.id < :cursor)
ORDER BY o.id DESC
LIMIT :limit;

-- name: cancel_operation(id)!
UPDATE endpoint_operation
SET status = 'CANCELLED', finished_at = clock_timestamp(), reason = 'cancelled by its user'
WHERE id = :id AND coalesce(status = 'QUEUED', false);
