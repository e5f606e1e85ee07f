-- name: profiles_of(ids)
-- The profile that applies to each of these endpoints, if one does, and the one that did when it was last asked for.
SELECT e.id AS endpoint_id, e.registration_id, e.objects, e.profile_id AS assigned, p.id AS profile_id,
       coalesce(p.plan, '[]') AS plan
FROM endpoint e
LEFT JOIN LATERAL (SELECT p.id, p.plan
                   FROM profile p
                   WHERE p.enabled AND endpoint_matches(e, p.tree)
                   ORDER BY p.priority DESC, p.name
                   LIMIT 1) AS p ON true
WHERE e.id = ANY(:ids::integer[]);

-- name: assign_profiles(ids, profile_ids)!
UPDATE endpoint SET profile_id = now.profile_id
FROM unnest(:ids::integer[], :profile_ids::integer[]) AS now(id, profile_id)
WHERE endpoint.id = now.id;

-- name: queue_planned(endpoint_ids, registration_ids, operation_types, single_paths, several_paths, attributes, again)!
SELECT queue_planned(:endpoint_ids::integer[], :registration_ids::text[], :operation_types::text[],
                     :single_paths::text[], :several_paths::jsonb[], :attributes::jsonb[], :again);

-- name: drop_older_plans(endpoint_ids, registration_ids)!
-- What an earlier registration's plan still waits with is asked for again by the new one.
UPDATE endpoint_operation o
SET status = 'CANCELLED', finished_at = clock_timestamp(), reason = 'the device has registered anew'
FROM unnest(:endpoint_ids::integer[], :registration_ids::text[]) AS now(endpoint_id, registration_id)
WHERE o.id = ANY (ARRAY(SELECT q.id FROM endpoint_operation q
                        WHERE q.endpoint_id = now.endpoint_id AND q.status = 'QUEUED'
                          AND q.registration_id <> now.registration_id));

-- name: look_sooner(ids, looks)!
UPDATE endpoint SET reconcile_at = least(reconcile_at, statement_timestamp() + sooner.look)
FROM unnest(:ids::integer[], :looks::interval[]) AS sooner(id, look)
WHERE endpoint.id = sooner.id;

-- name: profile(name)^
SELECT name, filter, priority, plan, awake_time_s, request_timeout_s, content_format, firmware_way, enabled, changed_by, changed_at,
       (SELECT count(*) FROM endpoint e WHERE e.profile_id = profile.id AND e.registered) AS applies_to
FROM profile
WHERE name = :name;

-- name: profiles()
-- In the order in which they are tried.
SELECT name, filter, priority, plan, awake_time_s, request_timeout_s, content_format, firmware_way, enabled, changed_by, changed_at,
       (SELECT count(*) FROM endpoint e WHERE e.profile_id = profile.id AND e.registered) AS applies_to
FROM profile
ORDER BY priority DESC, name;

-- name: put_profile(name, filter, tree, priority, plan, awake_time_s, request_timeout_s, content_format, firmware_way, enabled, changed_by, max_profiles)^
-- It is `added` where there was none of this name. Nothing where there are so many others.
INSERT INTO profile (name, filter, tree, priority, plan, awake_time_s, request_timeout_s, content_format, firmware_way, enabled, changed_by)
SELECT :name::text, :filter::text, :tree::jsonb, :priority::integer, :plan::jsonb, :awake_time_s::integer,
       :request_timeout_s::integer, :content_format::text, :firmware_way::text, :enabled::boolean, :changed_by::text
WHERE (SELECT count(*) FROM profile p WHERE p.name <> :name::text) < :max_profiles
ON CONFLICT (name) DO UPDATE SET
    filter = excluded.filter, tree = excluded.tree, priority = excluded.priority, plan = excluded.plan,
    awake_time_s = excluded.awake_time_s, request_timeout_s = excluded.request_timeout_s,
    content_format = excluded.content_format, firmware_way = excluded.firmware_way, enabled = excluded.enabled, changed_by = excluded.changed_by,
    changed_at = clock_timestamp()
RETURNING id, xmax = 0 AS added;

-- name: look_at_endpoints_of_profile(id, tree)!
-- At once: those that it applied to, and those that it fits. In id order, as lock_endpoints has it.
UPDATE endpoint SET reconcile_at = clock_timestamp()
WHERE id = ANY (ARRAY(SELECT e.id FROM endpoint e
                      WHERE e.registered AND (e.profile_id = :id::integer OR endpoint_matches(e, :tree::jsonb))
                      ORDER BY e.id
                      FOR NO KEY UPDATE));

-- name: look_at_endpoint(endpoint)!
UPDATE endpoint SET reconcile_at = clock_timestamp() WHERE name = :endpoint AND registered;

-- name: remove_profile(name)!
DELETE FROM profile WHERE name = :name;

-- name: profile_id(name)^
SELECT id, tree FROM profile WHERE name = :name;

-- name: plan_of_endpoint(endpoint)^
SELECT e.id, e.registered, e.registration_id, e.objects, e.reconcile_at, p.name AS profile, coalesce(p.plan, '[]') AS plan
FROM endpoint e
LEFT JOIN profile p ON p.id = e.profile_id
WHERE e.name = :endpoint;

-- name: rows_of_plan(endpoint_id, registration_id)
SELECT o.id, o.operation_type AS operation, o.path, o.paths, o.value, o.status, o.reason, o.withdrawn, o.created_at,
       o.last_attempt_at, o.finished_at,
       (SELECT max(latest.time)
        FROM unnest(coalesce(o.paths, ARRAY[o.path])) AS observed(path)
        JOIN resource_type t
          ON t.object_id = split_part(observed.path, '/', 2)::integer
         AND t.resource_id = coalesce(nullif(split_part(observed.path, '/', 4), '')::integer, t.resource_id)
        JOIN resource_latest latest
          ON latest.endpoint_id = o.endpoint_id AND latest.resource_type_id = t.id
         AND latest.object_instance_id
             = coalesce(nullif(split_part(observed.path, '/', 3), '')::integer, latest.object_instance_id)) AS value_at
FROM endpoint_operation o
WHERE o.endpoint_id = :endpoint_id AND o.registration_id = :registration_id
ORDER BY o.id;
