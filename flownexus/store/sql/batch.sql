-- name: lock_superseding_all(lock)^
-- Against all of lock_superseding().
SELECT pg_advisory_xact_lock(:lock::integer, 0);

-- name: add_batch(filter, operation, targets, requested_by, idempotency_key, fingerprint)$
-- None where the key was used before.
INSERT INTO batch (filter, operation_type, targets, requested_by, idempotency_key, request_fingerprint)
VALUES (:filter, :operation, :targets, :requested_by, :idempotency_key, :fingerprint)
ON CONFLICT (requested_by, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
RETURNING id;

-- name: batch_of_key(requested_by, idempotency_key)^
SELECT id, request_fingerprint FROM batch WHERE requested_by = :requested_by AND idempotency_key = :idempotency_key;

-- name: add_operations_of_batch(batch, matching, operation, path, paths, concerns, value, secret, arguments, repeatable, priority, requested_by, not_before, expires_at, expires_in, max_queued)
-- One for each endpoint that fits now, but for those that have too many that wait; the batch counts both.
WITH chosen AS MATERIALIZED (
    SELECT e.id, e.name,
           (SELECT count(*)
            FROM (SELECT FROM endpoint_operation q
                  WHERE q.endpoint_id = e.id AND q.status = 'QUEUED' AND q.registration_id IS NULL
                  LIMIT :max_queued) AS waiting) >= :max_queued AS is_full
    FROM endpoint e
    WHERE endpoint_matches(e, :matching::jsonb)
), added AS (
    INSERT INTO endpoint_operation (endpoint_id, batch_id, operation_type, path, paths, concerns, value, arguments,
                                    repeatable, priority, requested_by, not_before, expires_at, has_secret)
    SELECT id, :batch, :operation, :path::text, :paths::text[], :concerns::text[], :value, :arguments, :repeatable,
           :priority, :requested_by, :not_before::timestamptz,
           coalesce(:expires_at::timestamptz, clock_timestamp() + make_interval(secs => :expires_in::double precision)),
           :secret::jsonb IS NOT NULL
    FROM chosen
    WHERE NOT is_full
    ORDER BY id
    RETURNING id, endpoint_id
), kept AS (
    INSERT INTO operation_secret (operation_id, value)
    SELECT id, :secret::jsonb FROM added WHERE :secret::jsonb IS NOT NULL
), counted AS (
    UPDATE batch SET endpoints = (SELECT count(*) FROM added), left_out = (SELECT count(*) FROM chosen WHERE is_full)
    WHERE id = :batch
)
SELECT added.id, chosen.name FROM added JOIN chosen ON chosen.id = added.endpoint_id;

-- name: batch(id)^
SELECT b.id, b.filter, b.operation_type AS operation, b.targets, b.endpoints, b.left_out, b.requested_by, b.created_at,
       b.cancelled_at, b.cancelled_by,
       (SELECT jsonb_object_agg(status, count)
        FROM (SELECT o.status, count(*) FROM endpoint_operation o WHERE o.batch_id = b.id GROUP BY o.status) AS counted
       ) AS progress
FROM batch b
WHERE b.id = :id;

-- name: batches(cursor, limit)
-- The newest first, older than the cursor.
SELECT b.id, b.filter, b.operation_type AS operation, b.targets, b.endpoints, b.left_out, b.requested_by, b.created_at,
       b.cancelled_at, b.cancelled_by,
       (SELECT jsonb_object_agg(status, count)
        FROM (SELECT o.status, count(*) FROM endpoint_operation o WHERE o.batch_id = b.id GROUP BY o.status) AS counted
       ) AS progress
FROM batch b
WHERE :cursor::bigint IS NULL OR b.id < :cursor
ORDER BY b.id DESC
LIMIT :limit;

-- name: cancel_operations_of_batch(id, cancelled_by)
-- What somebody else holds is about to be sent, or to end.
UPDATE endpoint_operation o
SET status = 'CANCELLED', finished_at = clock_timestamp(), reason = 'its batch was cancelled by ' || :cancelled_by::text
FROM endpoint e
WHERE o.id = ANY (ARRAY(SELECT q.id FROM endpoint_operation q
                        WHERE q.batch_id = :id AND q.status = 'QUEUED'
                        FOR NO KEY UPDATE SKIP LOCKED))
  AND e.id = o.endpoint_id
RETURNING e.name;

-- name: mark_batch_cancelled(id, cancelled_by)!
UPDATE batch SET cancelled_at = clock_timestamp(), cancelled_by = :cancelled_by WHERE id = :id AND cancelled_at IS NULL;

-- name: forget_batches(retention, limit)!
-- Those whose operations are forgotten.
DELETE FROM batch
WHERE id IN (SELECT b.id FROM batch b
             WHERE b.created_at < clock_timestamp() - make_interval(secs => :retention)
               AND NOT EXISTS (SELECT FROM endpoint_operation o WHERE o.batch_id = b.id)
             ORDER BY b.id
             LIMIT :limit);
