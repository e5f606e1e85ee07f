-- name: session(token_hash, idle_s)^
SELECT u.id AS user_id, u.name, u.role, s.is_complete
FROM console_session s
JOIN console_user u ON u.id = s.user_id
WHERE s.token_hash = :token_hash AND s.expires_at > statement_timestamp()
  AND s.active_at > statement_timestamp() - make_interval(secs => :idle_s) AND NOT u.is_disabled;

-- name: keep_session(token_hash)!
-- At most once a minute.
UPDATE console_session SET active_at = clock_timestamp()
WHERE token_hash = :token_hash AND active_at < clock_timestamp() - interval '1 minute';

-- name: add_session(token_hash, user_id, is_complete, lifetime_s, address, browser)!
INSERT INTO console_session (token_hash, user_id, is_complete, expires_at, address, browser)
VALUES (:token_hash, :user_id, :is_complete, clock_timestamp() + make_interval(secs => :lifetime_s), :address, :browser);

-- name: drop_session(token_hash)!
DELETE FROM console_session WHERE token_hash = :token_hash;

-- name: drop_sessions(user_id, except_hash)!
-- All of a user, but for one where that is named.
DELETE FROM console_session WHERE user_id = :user_id AND token_hash IS DISTINCT FROM :except_hash::bytea;

-- name: sessions_of(user_id)
SELECT token_hash, created_at, active_at, address, browser
FROM console_session
WHERE user_id = :user_id AND is_complete AND expires_at > statement_timestamp()
ORDER BY active_at DESC;

-- name: note_sign_in(user_id)!
UPDATE console_user SET signed_in_at = clock_timestamp() WHERE id = :user_id;

-- name: keep_browser(token_hash, user_id)!
INSERT INTO console_browser (token_hash, user_id) VALUES (:token_hash, :user_id)
ON CONFLICT (user_id, token_hash) DO UPDATE SET seen_at = clock_timestamp();

-- name: is_known_browser(token_hash, name)$
SELECT EXISTS (SELECT FROM console_browser b JOIN console_user u ON u.id = b.user_id
               WHERE u.name = :name AND b.token_hash = :token_hash);

-- name: drop_browsers(user_id)!
DELETE FROM console_browser WHERE user_id = :user_id;

-- name: begin_attempts(buckets)!
INSERT INTO console_attempt (bucket, attempts, attempted_at, blocked_until)
SELECT bucket, 0, clock_timestamp(), '-infinity' FROM unnest(:buckets::text[]) AS wanted(bucket) ORDER BY bucket
ON CONFLICT (bucket) DO NOTHING;

-- name: lock_attempts(buckets)
-- In the order of their names, so that two never wait for each other in a circle.
SELECT bucket, attempts, extract(epoch FROM clock_timestamp() - attempted_at)::double precision AS ago_s,
       greatest(extract(epoch FROM nullif(blocked_until, '-infinity') - clock_timestamp()), 0)::double precision AS blocked_s
FROM console_attempt
WHERE bucket = ANY(:buckets::text[])
ORDER BY bucket
FOR UPDATE;

-- name: note_attempt(bucket, attempts, wait_s)!
UPDATE console_attempt
SET attempts = :attempts, attempted_at = clock_timestamp(), blocked_until = clock_timestamp() + make_interval(secs => :wait_s)
WHERE bucket = :bucket;

-- name: forget_attempts(bucket)!
DELETE FROM console_attempt WHERE bucket = :bucket;

-- name: take_back_attempt(bucket)!
UPDATE console_attempt SET attempts = greatest(attempts - 1, 0), blocked_until = '-infinity' WHERE bucket = :bucket;

-- name: drop_stale_sessions()!
DELETE FROM console_session WHERE expires_at < clock_timestamp();

-- name: drop_stale_links()!
DELETE FROM console_link WHERE expires_at < clock_timestamp();

-- name: drop_stale_attempts()!
DELETE FROM console_attempt WHERE attempted_at < clock_timestamp() - interval '2 days';

-- name: drop_stale_browsers()!
DELETE FROM console_browser WHERE seen_at < clock_timestamp() - interval '1 year';
