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
          not_before, expires_at, superseded_by, batch_id AS batch
), kept AS (
INSERT INTO operation_secret (operation_id, value) SELECT id, :secret::jsonb FROM added WHERE :secret::jsonb IS NOT NULL
)
SELECT * FROM added;

-- name: lock_superseding(endpoint, lock)^
-- One after the other for an endpoint: two at once would not see each other's writes. 0 stands for all endpoints.
SELECT pg_advisory_xact_lock_shared(:lock::integer, 0), pg_advisory_xact_lock(:lock::integer, id)
FROM endpoint WHERE name = :endpoint;

-- name: supersede_operations(ids)!
-- Cancel older writes to the paths of these; but not one for which another operation, asked for before these, waits.
UPDATE endpoint_operation older
SET status = 'CANCELLED', finished_at = clock_timestamp(), superseded_by = newer.id,
    reason = 'superseded by operation ' || newer.id
FROM endpoint_operation newer
CROSS JOIN LATERAL unnest(ARRAY(
    SELECT q.id
    FROM endpoint_operation q
    WHERE q.endpoint_id = newer.endpoint_id AND q.status = 'QUEUED' AND q.registration_id IS NULL
      AND q.id < newer.id AND q.operation_type = newer.operation_type AND q.path = newer.path
      AND (SELECT waits.id
           FROM endpoint_operation waits
           WHERE waits.endpoint_id = newer.endpoint_id AND waits.status = 'QUEUED' AND waits.registration_id IS NULL
             AND waits.id > q.id AND waits.id < newer.id
             AND (waits.operation_type, waits.path) IS DISTINCT FROM (newer.operation_type, newer.path)
             AND EXISTS (
                   SELECT FROM unnest(coalesce(waits.concerns, waits.paths, ARRAY[waits.path])) AS theirs
                   WHERE starts_with(theirs || '/', q.path || '/') OR starts_with(q.path || '/', theirs || '/'))
           LIMIT 1) IS NULL)) AS found(id)
WHERE newer.id = ANY(:ids::bigint[]) AND older.id = found.id AND coalesce(older.status = 'QUEUED', false);

-- name: operation_of_key(requested_by, idempotency_key)^
SELECT id, request_fingerprint FROM endpoint_operation
WHERE coalesce(requested_by, 'api') = :requested_by AND idempotency_key = :idempotency_key;

-- name: is_past(time)$
SELECT :time::timestamptz <= clock_timestamp();

-- name: operation(id)^
SELECT o.id, e.name AS endpoint, o.operation_type AS operation, o.path, o.paths, o.value, o.arguments, o.repeatable,
       o.priority, o.status, o.attempts, o.result, o.reason, o.created_at, o.last_attempt_at, o.finished_at,
       o.requested_by, o.not_before, o.expires_at, o.superseded_by,
       o.batch_id AS batch
FROM endpoint_operation o
JOIN endpoint e ON e.id = o.endpoint_id
WHERE o.id = :id;

-- name: operations(endpoint, status, batch, cursor, limit)
-- The newest first, older than the cursor.
SELECT o.id, e.name AS endpoint, o.operation_type AS operation, o.path, o.paths, o.value, o.arguments, o.repeatable,
       o.priority, o.status, o.attempts, o.result, o.reason, o.created_at, o.last_attempt_at, o.finished_at,
       o.requested_by, o.not_before, o.expires_at, o.superseded_by,
       o.batch_id AS batch
FROM endpoint_operation o
JOIN endpoint e ON e.id = o.endpoint_id
WHERE (:endpoint::text IS NULL OR o.endpoint_id = (SELECT id FROM endpoint WHERE name = :endpoint))
  AND (:status::text IS NULL OR o.status = :status)
  AND (:batch::bigint IS NULL OR o.batch_id = :batch)
  AND (:cursor::bigint IS NULL OR o.id < :cursor)
ORDER BY o.id DESC
LIMIT :limit;

-- name: cancel_operation(id)!
UPDATE endpoint_operation
SET status = 'CANCELLED', finished_at = clock_timestamp(), reason = 'cancelled by its user'
WHERE id = :id AND coalesce(status = 'QUEUED', false);
