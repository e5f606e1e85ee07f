-- name: token_of_prefix(prefix)^
SELECT id, name, scopes, sha256, expires_at, revoked_at,
       coalesce(expires_at <= clock_timestamp(), false) AS is_over,
       coalesce(last_used_at <= clock_timestamp() - interval '1 minute', true) AS use_is_to_be_noted
FROM api_token
WHERE prefix = :prefix;

-- name: note_use_of_token(id)!
-- One of several that use it at once is enough: the others wait for nothing.
UPDATE api_token SET last_used_at = clock_timestamp()
WHERE id = (SELECT id FROM api_token
            WHERE id = :id AND coalesce(last_used_at <= clock_timestamp() - interval '1 minute', true)
            FOR NO KEY UPDATE SKIP LOCKED);

-- name: add_token(name, owner, scopes, prefix, sha256, created_by, expires_at, expires_in, user_id)^
-- None where the name or the prefix is taken.
INSERT INTO api_token (name, owner, scopes, prefix, sha256, created_by, user_id, expires_at)
VALUES (:name, :owner, :scopes::text[], :prefix, :sha256::bytea, :created_by, :user_id::integer,
        coalesce(:expires_at::timestamptz, clock_timestamp() + make_interval(secs => :expires_in::double precision)))
ON CONFLICT DO NOTHING
RETURNING id, name, owner, scopes, prefix, created_at, created_by, expires_at, last_used_at, revoked_at, revoked_by;

-- name: id_of_valid_token(name)$
SELECT id FROM api_token WHERE name = :name AND revoked_at IS NULL;

-- name: token(id)^
SELECT id, name, owner, scopes, prefix, created_at, created_by, expires_at, last_used_at, revoked_at, revoked_by
FROM api_token
WHERE id = :id;

-- name: tokens(cursor, limit)
-- The newest first, older than the cursor.
SELECT id, name, owner, scopes, prefix, created_at, created_by, expires_at, last_used_at, revoked_at, revoked_by
FROM api_token
WHERE :cursor::bigint IS NULL OR id < :cursor
ORDER BY id DESC
LIMIT :limit;

-- name: revoke_token(id, revoked_by)!
UPDATE api_token SET revoked_at = clock_timestamp(), revoked_by = :revoked_by WHERE id = :id AND revoked_at IS NULL;

-- name: tokens_of_user(user_id)
-- Those that are not revoked, the newest first.
SELECT id, name, owner, scopes, prefix, created_at, created_by, expires_at, last_used_at, revoked_at, revoked_by
FROM api_token
WHERE user_id = :user_id AND revoked_at IS NULL
ORDER BY id DESC;

-- name: revoke_own_token(id, user_id, revoked_by)!
UPDATE api_token SET revoked_at = clock_timestamp(), revoked_by = :revoked_by
WHERE id = :id AND user_id = :user_id AND revoked_at IS NULL;

-- name: revoke_tokens_beyond(user_id, scopes, revoked_by)!
-- Those of a user that may more than these scopes.
UPDATE api_token SET revoked_at = clock_timestamp(), revoked_by = :revoked_by
WHERE user_id = :user_id AND revoked_at IS NULL AND NOT scopes <@ :scopes::text[];
