-- A user's operation may have a time before which, and one from which on, it is not sent.

ALTER TABLE endpoint_operation
    ADD COLUMN expires_at timestamptz,
    DROP CONSTRAINT endpoint_operation_status_check,
    ADD CONSTRAINT endpoint_operation_status_check
        CHECK (status IN ('QUEUED', 'SENDING', 'CONFIRMED', 'FAILED', 'CANCELLED', 'EXPIRED')),
    DROP CONSTRAINT endpoint_operation_check1,
    ADD CONSTRAINT endpoint_operation_finished_at_check
        CHECK ((status IN ('CONFIRMED', 'FAILED', 'CANCELLED', 'EXPIRED')) = (finished_at IS NOT NULL));
CREATE INDEX endpoint_operation_expiry ON endpoint_operation (expires_at) WHERE status = 'QUEUED' AND expires_at IS NOT NULL;
COMMENT ON COLUMN endpoint_operation.expires_at IS 'From then on it is not sent, as its user asked; QUEUED then, it ends EXPIRED.';
COMMENT ON COLUMN endpoint_operation.not_before IS
    'It is not sent before: its user asked so, or the device answered with an error that may pass. Null from a claim on.';
GRANT INSERT (not_before, expires_at) ON endpoint_operation TO flownexus_api;

-- As in 020, but for what has expired, and for those that wait for their users' not_before: they hold up no other one.
CREATE OR REPLACE FUNCTION next_operation(of_endpoint integer)
RETURNS TABLE (id bigint, contact_count bigint, touched_at timestamptz, not_before timestamptz)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT o.id, e.contact_count, greatest(o.created_at, o.last_attempt_at), o.not_before
    FROM endpoint e
    CROSS JOIN LATERAL (
        SELECT w.*
        FROM endpoint_operation w
        WHERE w.endpoint_id = of_endpoint AND w.status = 'QUEUED'
          AND w.retry_after_contact <= e.contact_count
          AND coalesce(w.not_before <= clock_timestamp(), true)
          AND coalesce(w.expires_at > clock_timestamp(), true)
          AND (w.registration_id IS NOT NULL OR (
                SELECT older.id FROM endpoint_operation older
                WHERE older.endpoint_id = of_endpoint AND older.status = 'QUEUED' AND older.priority = w.priority
                  AND older.id < w.id AND older.registration_id IS NULL
                  AND coalesce(older.expires_at > clock_timestamp(), true)
                  AND (older.last_attempt_at IS NOT NULL OR coalesce(older.not_before <= clock_timestamp(), true))
                  AND EXISTS (
                        SELECT FROM unnest(coalesce(older.concerns, older.paths, ARRAY[older.path])) AS theirs,
                                    unnest(coalesce(w.concerns, w.paths, ARRAY[w.path])) AS own
                        WHERE starts_with(theirs || '/', own || '/') OR starts_with(own || '/', theirs || '/'))
                LIMIT 1) IS NULL)
        ORDER BY w.priority DESC, w.id
        LIMIT 1
    ) AS o
    WHERE e.id = of_endpoint
      AND e.registered AND coalesce(e.expires_at > clock_timestamp(), true)
      AND e.unreachable_at_contact < e.contact_count
      AND (SELECT s.id FROM endpoint_operation s WHERE s.endpoint_id = of_endpoint AND s.status = 'SENDING') IS NULL
      -- Who has left three unanswered is not asked for more before it speaks.
      AND (SELECT count(*)
           FROM (SELECT FROM endpoint_operation u
                 WHERE u.endpoint_id = of_endpoint AND u.status = 'QUEUED' AND u.retry_after_contact > 0
                   AND u.retry_after_contact > e.contact_count
                 LIMIT 3) AS unanswered) < 3
$$;
