-- What an operation waits for is a contact: a registered or updated event.

ALTER TABLE endpoint RENAME COLUMN presence TO contact_count;
ALTER TABLE endpoint RENAME COLUMN absent_at_presence TO unreachable_at_contact;
ALTER TABLE endpoint_operation RENAME COLUMN waits_for_presence TO retry_after_contact;
COMMENT ON COLUMN endpoint.contact_count IS
    'Rises by one with each registered or updated event: what "newer than a failure" is compared by.';
COMMENT ON COLUMN endpoint.unreachable_at_contact IS
    'The contact_count at which it was found asleep or not registered: nothing is sent before contact_count is above it.';
COMMENT ON COLUMN endpoint_operation.retry_after_contact IS 'It is sent once endpoint.contact_count is at least this.';

-- As in 019, by these names.
DROP FUNCTION next_operation;
CREATE FUNCTION next_operation(of_endpoint integer)
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
          AND (w.registration_id IS NOT NULL OR (
                SELECT older.id FROM endpoint_operation older
                WHERE older.endpoint_id = of_endpoint AND older.status = 'QUEUED' AND older.priority = w.priority
                  AND older.id < w.id AND older.registration_id IS NULL
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
COMMENT ON FUNCTION next_operation IS
    'The operation of an endpoint that may be sent now, if any: by priority, then the oldest; a user''s not before an older one '
    'of its priority whose target overlaps.';
