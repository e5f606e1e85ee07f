-- An operation may have several targets. Which kinds there are, and what each concerns, says the catalogue of kinds
-- (flownexus/operations/catalogue.py): a new one needs no migration.

ALTER TABLE endpoint_operation
    DROP CONSTRAINT endpoint_operation_operation_type_check,
    ADD CONSTRAINT endpoint_operation_operation_type_check CHECK (operation_type ~ '^[a-z]+(-[a-z]+)*$'),
    ALTER COLUMN path DROP NOT NULL,
    ADD COLUMN paths text[] CHECK (cardinality(paths) > 0),
    ADD CONSTRAINT endpoint_operation_path_or_paths CHECK (num_nonnulls(path, paths) = 1),
    ADD COLUMN concerns text[] CHECK (cardinality(concerns) > 0);
COMMENT ON COLUMN endpoint_operation.path IS 'Its target, of a kind that has one.';
COMMENT ON COLUMN endpoint_operation.paths IS 'Its targets, of a kind that has several; path is then null.';

UPDATE endpoint_operation SET concerns = ARRAY[rtrim(target, '/')]
WHERE operation_type = 'execute' AND status IN ('QUEUED', 'SENDING');
ALTER TABLE endpoint_operation DROP COLUMN target;
COMMENT ON COLUMN endpoint_operation.concerns IS
    'The paths that it has to do with, such as the object instance of an execute; null: those it is for. Operations '
    'overlap where a path of one is, or is below, one of the other.';

-- As in 006, but for what overlaps.
CREATE OR REPLACE FUNCTION next_operation(of_endpoint integer)
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
      AND e.absent_at_presence < e.presence
      AND (SELECT s.id FROM endpoint_operation s WHERE s.endpoint_id = of_endpoint AND s.status = 'SENDING') IS NULL
      -- Who has left three unanswered is not asked for more before it speaks.
      AND (SELECT count(*)
           FROM (SELECT FROM endpoint_operation u
                 WHERE u.endpoint_id = of_endpoint AND u.status = 'QUEUED' AND u.waits_for_presence > 0
                   AND u.waits_for_presence > e.presence
                 LIMIT 3) AS unanswered) < 3
$$;
