-- Where the row of an open operation is known by its id, coalesce() keeps the planner from the indexes of open ones,
-- which its statistics know as empty (see next_operation).

-- name: try_lock_endpoints(ids)
SELECT id FROM endpoint WHERE id = ANY(:ids::integer[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED;

-- name: settle_operation(status, given_back, result, reason, verdict, newer_than_now, retry_after_contact, delay, refused_format, finished, id, fence)!
-- Counts only for the worker whose claim is the newest. The endpoint's lock makes who claims meanwhile wait
-- for the commit, instead of going without, since one is under way that has just ended.
WITH owner AS MATERIALIZED (
    SELECT contact_count FROM endpoint
    WHERE id = (SELECT endpoint_id FROM endpoint_operation WHERE id = :id)
    FOR NO KEY UPDATE
)
UPDATE endpoint_operation o
SET status = :status, lease_expires_at = NULL, attempts = o.attempts - :given_back, result = :result,
    reason = :reason, last_verdict = :verdict::text,
    retry_after_contact = CASE WHEN :newer_than_now THEN owner.contact_count + 1
                              ELSE coalesce(:retry_after_contact::bigint, o.retry_after_contact) END,
    formats_refused = CASE WHEN :refused_format::text IS NULL THEN o.formats_refused
                           ELSE o.formats_refused || :refused_format::text END,
    not_before = clock_timestamp() + make_interval(secs => :delay::double precision),
    finished_at = CASE WHEN :finished THEN clock_timestamp() END
FROM owner
WHERE o.id = :id AND o.fence = :fence AND coalesce(o.status = 'SENDING', false);

-- name: learn_write_format(endpoint_id, format)!
UPDATE endpoint SET write_format = :format WHERE id = :endpoint_id;

-- name: mark_unreachable(endpoint_id, contact_count)!
UPDATE endpoint SET unreachable_at_contact = greatest(unreachable_at_contact, :contact_count) WHERE id = :endpoint_id;

-- name: see_answer(endpoint_id)!
-- Its device answered. The row is locked already.
UPDATE endpoint SET last_seen_at = clock_timestamp() WHERE id = :endpoint_id;

-- name: has_eligible_operation(endpoint_id)$
SELECT EXISTS (SELECT FROM next_operation(:endpoint_id));
