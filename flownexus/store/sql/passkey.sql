-- name: keep_challenge(token_hash, purpose, challenge, lifetime_s)!
-- The one before of the same session and purpose stands no longer.
INSERT INTO console_challenge (token_hash, purpose, challenge, expires_at)
VALUES (:token_hash, :purpose, :challenge, clock_timestamp() + make_interval(secs => :lifetime_s))
ON CONFLICT (token_hash, purpose) DO UPDATE SET challenge = excluded.challenge, expires_at = excluded.expires_at;

-- name: take_challenge(token_hash, purpose)^
-- It is gone then: of two answers to it at once, one finds it.
DELETE FROM console_challenge WHERE token_hash = :token_hash AND purpose = :purpose
RETURNING challenge, expires_at > clock_timestamp() AS is_valid;

-- name: passkeys_of(user_id)
SELECT id, credential_id, public_key, transports, name, created_at, used_at
FROM console_passkey
WHERE user_id = :user_id
ORDER BY created_at, id;

-- name: add_passkey(user_id, credential_id, public_key, sign_count, transports, name)$
-- None where the passkey is there already, whoever's it is.
INSERT INTO console_passkey (user_id, credential_id, public_key, sign_count, transports, name)
VALUES (:user_id, :credential_id, :public_key, :sign_count, :transports, :name)
ON CONFLICT (credential_id) DO NOTHING
RETURNING id;

-- name: count_passkey(id, sign_count)!
-- One row where the count rose, or is none: of two uses with one count, one is taken.
UPDATE console_passkey SET sign_count = :sign_count, used_at = clock_timestamp()
WHERE id = :id AND (sign_count < :sign_count OR (sign_count = 0 AND :sign_count = 0));

-- name: drop_passkey(id, user_id)$
DELETE FROM console_passkey WHERE id = :id AND user_id = :user_id RETURNING name;

-- name: drop_passkeys(user_id)!
DELETE FROM console_passkey WHERE user_id = :user_id;
