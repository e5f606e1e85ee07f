-- name: endpoints_to_reconcile(limit)
-- Longest due first; a registration event that is being stored is left for the next round.
SELECT id, name, registration_id, objects, heard_since
FROM endpoint
WHERE registered AND reconcile_at <= statement_timestamp() AND registration_id IS NOT NULL
ORDER BY reconcile_at
LIMIT :limit
FOR NO KEY UPDATE SKIP LOCKED;

-- name: known_of_planned(endpoint_ids, registration_ids, operation_types, paths, object_ids, object_instance_ids, resource_ids)
-- A value counts as of its own time, but not as of later than it was stored: a device's clock may be ahead.
SELECT o.status, o.finished_at,
       (SELECT max(least(latest.time, r.stored_at))
        FROM resource_type t
        JOIN resource_latest latest ON latest.endpoint_id = wanted.endpoint_id AND latest.resource_type_id = t.id
        LEFT JOIN resource r ON r.time = latest.time AND r.id = latest.resource_id
        WHERE t.object_id = wanted.object_id
          AND (wanted.resource_id IS NULL OR t.resource_id = wanted.resource_id)
          AND (wanted.object_instance_id IS NULL OR latest.object_instance_id = wanted.object_instance_id)),
       EXISTS (SELECT FROM endpoint_operation c
               WHERE c.endpoint_id = wanted.endpoint_id AND c.path = wanted.path
                 AND c.operation_type = 'cancel-observe' AND c.status = 'CONFIRMED' AND c.finished_at > o.finished_at)
FROM unnest(:endpoint_ids::integer[], :registration_ids::text[], :operation_types::text[], :paths::text[],
            :object_ids::integer[], :object_instance_ids::integer[], :resource_ids::integer[]) WITH ORDINALITY
     AS wanted(endpoint_id, registration_id, operation_type, path, object_id, object_instance_id, resource_id, place)
LEFT JOIN endpoint_operation o
       ON o.endpoint_id = wanted.endpoint_id AND o.operation_type = wanted.operation_type
      AND o.path = wanted.path AND o.registration_id = wanted.registration_id
ORDER BY wanted.place;

-- name: renew_planned(endpoint_ids, registration_ids, operation_types, paths)!
-- A planned operation has one row in a registration, which is queued anew.
INSERT INTO endpoint_operation AS planned (endpoint_id, registration_id, operation_type, path, priority, requested_by)
SELECT endpoint_id, registration_id, operation_type, path, 0, 'observe-plan'
FROM unnest(:endpoint_ids::integer[], :registration_ids::text[], :operation_types::text[], :paths::text[])
     WITH ORDINALITY AS wanted(endpoint_id, registration_id, operation_type, path, place)
ORDER BY place
ON CONFLICT (endpoint_id, operation_type, path, registration_id) WHERE registration_id IS NOT NULL DO UPDATE SET
    status = 'QUEUED', attempts = 0, retry_after_contact = 0, not_before = NULL, result = NULL, reason = NULL,
    last_verdict = NULL, created_at = clock_timestamp(), last_attempt_at = NULL, finished_at = NULL
WHERE planned.status NOT IN ('QUEUED', 'SENDING');

-- name: reconcile_next(ids, times)!
UPDATE endpoint SET reconcile_at = next.time
FROM unnest(:ids::integer[], :times::timestamptz[]) AS next(id, time)
WHERE endpoint.id = next.id;
