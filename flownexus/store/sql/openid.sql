-- name: keep_openid_attempt(state_hash, token_hash, nonce, verifier, back, lifetime_s)!
INSERT INTO console_openid_attempt (state_hash, token_hash, nonce, verifier, back, expires_at)
VALUES (:state_hash, :token_hash, :nonce, :verifier, :back, clock_timestamp() + make_interval(secs => :lifetime_s));

-- name: take_openid_attempt(state_hash, token_hash)^
-- It is gone then: of two at once, one finds it.
DELETE FROM console_openid_attempt WHERE state_hash = :state_hash AND token_hash = :token_hash
RETURNING nonce, verifier, back, expires_at > clock_timestamp() AS is_valid;

-- name: drop_stale_openid_attempts()!
DELETE FROM console_openid_attempt WHERE expires_at < clock_timestamp();

-- name: user_of_openid(issuer, subject)$
SELECT id FROM console_user WHERE openid_issuer = :issuer AND openid_subject = :subject;

-- name: invited_user(name)$
-- Who was invited, and has neither chosen a password nor signed in by a provider.
SELECT id FROM console_user
WHERE name = :name AND password_hash IS NULL AND openid_subject IS NULL AND NOT is_disabled;

-- name: set_openid(id, issuer, subject)!
UPDATE console_user SET openid_issuer = :issuer::text, openid_subject = :subject::text WHERE id = :id;
