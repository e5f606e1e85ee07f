-- Where the row of an open operation is known by its id, coalesce() keeps the planner from the indexes of open ones,
-- which its statistics know as empty (see next_operation).

-- name: try_lock_endpoints_named(names)
-- The lock makes claims of one endpoint go one after the other; values and foreign keys do not wait for it. Who
-- else holds one is not waited for: it would hold up the others.
SELECT id, name FROM endpoint WHERE name = ANY(:names::text[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED;

-- name: claim_operation(endpoint_id, lease)^
-- For the holder of the endpoint's lock, as a statement of its own: the one that takes the lock may not see all that
-- was committed just before.
UPDATE endpoint_operation o
SET status = 'SENDING', attempts = o.attempts + 1, fence = nextval('claim_fence'), last_attempt_at = clock_timestamp(),
    lease_expires_at = clock_timestamp() + make_interval(secs => :lease), not_before = NULL
FROM next_operation(:endpoint_id) AS chosen
WHERE o.id = chosen.id AND coalesce(o.status = 'QUEUED', false)
RETURNING o.id, o.fence, o.endpoint_id, chosen.contact_count, o.operation_type AS operation, o.path, o.paths,
          coalesce((SELECT s.value FROM operation_secret s WHERE o.has_secret AND s.operation_id = o.id), o.value) AS value,
          o.arguments, o.repeatable, o.attempts,
          (SELECT coalesce(e.write_format, p.content_format)
           FROM endpoint e LEFT JOIN profile p ON p.id = e.profile_id WHERE e.id = :endpoint_id) AS write_format,
          (SELECT p.request_timeout_s
           FROM endpoint e JOIN profile p ON p.id = e.profile_id WHERE e.id = :endpoint_id) AS request_timeout_s,
          (SELECT p.awake_time_s
           FROM endpoint e JOIN profile p ON p.id = e.profile_id WHERE e.id = :endpoint_id) AS awake_time_s,
          (SELECT content_formats FROM endpoint WHERE id = :endpoint_id) AS content_formats, o.formats_refused;

-- name: renew_leases(ids, fences, lease)
-- Of claims that are the newest. Who holds a row is about to settle it, and is not waited for.
WITH held AS MATERIALIZED (
    SELECT o.id
    FROM unnest(:ids::bigint[], :fences::bigint[]) AS mine(id, fence)
    JOIN endpoint_operation o ON o.id = mine.id
    WHERE o.fence = mine.fence AND coalesce(o.status = 'SENDING', false)
    FOR NO KEY UPDATE OF o SKIP LOCKED
)
UPDATE endpoint_operation o
SET lease_expires_at = clock_timestamp() + make_interval(secs => :lease)
FROM held
WHERE o.id = held.id
RETURNING o.id, o.fence;
