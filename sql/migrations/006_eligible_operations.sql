-- Which operation of an endpoint goes next: what was answered is asked again after a delay, and only what has the same
-- target waits for it.

ALTER TABLE endpoint ADD COLUMN absent_at_presence bigint NOT NULL DEFAULT -1;
COMMENT ON COLUMN endpoint.absent_at_presence IS
    'The presence at which it was found asleep or not registered: nothing is sent before presence is above it.';

ALTER TABLE endpoint_operation
    ADD COLUMN not_before timestamptz,
    ADD COLUMN target text GENERATED ALWAYS AS (
        CASE operation_type WHEN 'execute' THEN regexp_replace(path, '/[0-9]+$', '') ELSE path END || '/') STORED;
COMMENT ON COLUMN endpoint_operation.not_before IS 'The device answered with an error that may pass: it is asked again from then on.';
COMMENT ON COLUMN endpoint_operation.target IS
    'What it concerns: its path, and the whole object instance for an execute. Targets overlap where one begins with the other.';

DROP INDEX endpoint_operation_queue;
CREATE INDEX endpoint_operation_queue ON endpoint_operation (endpoint_id, priority DESC, id) WHERE status = 'QUEUED';
CREATE INDEX endpoint_operation_unanswered ON endpoint_operation (endpoint_id, waits_for_presence)
    WHERE status = 'QUEUED' AND waits_for_presence > 0;

-- Of operations that wait, or are under way, statistics often know none: a moment later there are thousands. The
-- planner takes the indexes of just these for empty, and reads them whole for each operation if it may. A subquery
-- for a value is no join, and goes by the key. One query, so that it is inlined where it is called.
CREATE FUNCTION next_operation(of_endpoint integer)
RETURNS TABLE (id bigint, presence bigint, touched_at timestamptz, not_before timestamptz)
LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT o.id, e.presence, greatest(o.created_at, o.last_attempt_at), o.not_before
    FROM endpoint e
    CROSS JOIN LATERAL (
        SELECT w.*
        FROM endpoint_operation w
        WHERE w.endpoint_id = of_endpoint AND w.status = 'QUEUED'
          AND w.waits_for_presence <= e.presence
          AND coalesce(w.not_before <= clock_timestamp(), true)
          AND (w.registration_id IS NOT NULL OR (
                SELECT older.id FROM endpoint_operation older
                WHERE older.endpoint_id = of_endpoint AND older.status = 'QUEUED' AND older.priority = w.priority
                  AND older.id < w.id AND older.registration_id IS NULL
                  AND (starts_with(older.target, w.target) OR starts_with(w.target, older.target))
                LIMIT 1) IS NULL)
        ORDER BY w.priority DESC, w.id
        LIMIT 1
    ) AS o
    WHERE e.id = of_endpoint
      AND e.registered AND coalesce(e.expires_at > clock_timestamp(), true)
      AND e.absent_at_presence < e.presence
      AND (SELECT s.id FROM endpoint_operation s WHERE s.endpoint_id = of_endpoint AND s.status = 'SENDING') IS NULL
      -- Who has left three unanswered is not asked for more before it speaks.
      AND (SELECT count(*)
           FROM (SELECT FROM endpoint_operation u
                 WHERE u.endpoint_id = of_endpoint AND u.status = 'QUEUED' AND u.waits_for_presence > 0
                   AND u.waits_for_presence > e.presence
                 LIMIT 3) AS unanswered) < 3
$$;
COMMENT ON FUNCTION next_operation IS
    'The operation of an endpoint that may be sent now, if any: by priority, then the oldest; a user''s not before an older one '
    'of its priority whose target overlaps.';
