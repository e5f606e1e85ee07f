-- name: endpoints_to_reconcile(limit)
-- Longest due first; a registration event that is being stored is left for the next round.
SELECT id, name, registration_id, heard_since
FROM endpoint
WHERE registered AND reconcile_at <= statement_timestamp() AND registration_id IS NOT NULL
ORDER BY reconcile_at
LIMIT :limit
FOR NO KEY UPDATE SKIP LOCKED;

-- name: planned_rows(endpoint_ids, registration_ids)
-- A value counts as of its own time, but not as of later than it was stored: a device's clock may be ahead. OFFSET 0
-- keeps each registration's rows apart, which are found by their index.
SELECT o.endpoint_id, o.id, o.operation_type AS operation, o.path, o.paths, o.value, o.status, o.finished_at, o.withdrawn,
       CASE WHEN o.operation_type IN ('observe', 'observe-composite') THEN (
            SELECT max(least(latest.time, r.stored_at))
            FROM unnest(coalesce(o.paths, ARRAY[o.path])) AS observed(path)
            JOIN resource_type t
              ON t.object_id = split_part(observed.path, '/', 2)::integer
             AND t.resource_id = coalesce(nullif(split_part(observed.path, '/', 4), '')::integer, t.resource_id)
            JOIN resource_latest latest
              ON latest.endpoint_id = o.endpoint_id AND latest.resource_type_id = t.id
             AND latest.object_instance_id
                 = coalesce(nullif(split_part(observed.path, '/', 3), '')::integer, latest.object_instance_id)
            LEFT JOIN resource r ON r.time = latest.time AND r.id = latest.resource_id) END AS value_at,
       CASE o.operation_type
            WHEN 'observe' THEN EXISTS (
                SELECT FROM endpoint_operation c
                WHERE c.endpoint_id = o.endpoint_id AND c.path = o.path AND c.operation_type = 'cancel-observe'
                  AND c.registration_id IS NULL AND c.status = 'CONFIRMED' AND c.finished_at > o.finished_at)
            WHEN 'observe-composite' THEN EXISTS (
                SELECT FROM endpoint_operation c
                WHERE c.endpoint_id = o.endpoint_id AND c.paths = o.paths
                  AND c.operation_type = 'cancel-observe-composite'
                  AND c.registration_id IS NULL AND c.status = 'CONFIRMED' AND c.finished_at > o.finished_at)
            ELSE false END AS taken_back
FROM unnest(:endpoint_ids::integer[], :registration_ids::text[]) AS wanted(endpoint_id, registration_id)
CROSS JOIN LATERAL (SELECT p.*
                    FROM endpoint_operation p
                    WHERE p.endpoint_id = wanted.endpoint_id AND p.registration_id = wanted.registration_id
                    OFFSET 0) AS o
ORDER BY o.id;

-- name: withdraw_planned(ids)!
UPDATE endpoint_operation
SET status = 'CANCELLED', finished_at = coalesce(finished_at, clock_timestamp()), withdrawn = true,
    reason = 'its profile does not ask for it any more'
WHERE id = ANY(:ids::bigint[]) AND coalesce(status <> 'SENDING', false);

-- name: reconcile_next(ids, times)!
UPDATE endpoint SET reconcile_at = next.time
FROM unnest(:ids::integer[], :times::timestamptz[]) AS next(id, time)
WHERE endpoint.id = next.id;
