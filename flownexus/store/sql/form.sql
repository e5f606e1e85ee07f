-- name: drop_stale_forms()!
DELETE FROM console_form WHERE expires_at < clock_timestamp();

-- name: claim_form(key_hash, lifetime_s)$
-- True for the first who sends it; of two at once the second waits for the first.
INSERT INTO console_form (key_hash, expires_at)
VALUES (:key_hash, clock_timestamp() + make_interval(secs => :lifetime_s))
ON CONFLICT (key_hash) DO NOTHING
RETURNING true;

-- name: release_form(key_hash)!
DELETE FROM console_form WHERE key_hash = :key_hash;
