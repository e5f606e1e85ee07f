-- name: user_of_name(name)^
SELECT u.id, u.name, u.role, u.password_hash, u.totp_secret, u.totp_step, u.is_disabled,
       (SELECT count(*) FROM console_passkey p WHERE p.user_id = u.id) AS passkeys
FROM console_user u
WHERE u.name = :name;

-- name: user_of_id(id)^
SELECT u.id, u.name, u.role, u.password_hash, u.totp_secret, u.totp_step, u.is_disabled,
       (SELECT count(*) FROM console_passkey p WHERE p.user_id = u.id) AS passkeys
FROM console_user u
WHERE u.id = :id;

-- name: users()
SELECT u.id, u.name, u.role, u.is_disabled, u.password_hash IS NOT NULL AS has_password,
       u.totp_secret IS NOT NULL
         OR EXISTS (SELECT FROM console_passkey p WHERE p.user_id = u.id) AS has_second_factor, u.signed_in_at,
       (SELECT max(l.expires_at) FROM console_link l
        WHERE l.user_id = u.id AND l.expires_at > statement_timestamp()) AS link_until,
       (SELECT count(*) FROM console_session s
        WHERE s.user_id = u.id AND s.is_complete AND s.expires_at > statement_timestamp()) AS sessions
FROM console_user u
ORDER BY u.name;

-- name: lock_users()!
-- So that of two administrators who end each other's role at once, one stays.
SELECT pg_advisory_xact_lock(hashtext('console_user'));

-- name: has_admin(except_id)$
-- Whether an administrator is there who can sign in, that one apart.
SELECT EXISTS (SELECT FROM console_user
               WHERE role = 'admin' AND NOT is_disabled AND password_hash IS NOT NULL
                 AND id IS DISTINCT FROM :except_id::integer);

-- name: add_user(name, role)$
-- None where the name is taken.
INSERT INTO console_user (name, role) VALUES (:name, :role) ON CONFLICT (name) DO NOTHING RETURNING id;

-- name: set_password_hash(id, password_hash)!
UPDATE console_user SET password_hash = :password_hash WHERE id = :id;

-- name: set_role(id, role)!
UPDATE console_user SET role = :role WHERE id = :id;

-- name: set_disabled(id, is_disabled)!
UPDATE console_user SET is_disabled = :is_disabled WHERE id = :id;

-- name: set_second_factor(id, secret, step)!
UPDATE console_user SET totp_secret = :secret::text, totp_step = :step::bigint WHERE id = :id;

-- name: use_code(id, step)!
-- One row where this step's code was not used yet: of two at once, one counts.
UPDATE console_user SET totp_step = :step WHERE id = :id AND coalesce(totp_step < :step, true);

-- name: drop_recovery_codes(id)!
DELETE FROM console_recovery_code WHERE user_id = :id;

-- name: add_recovery_codes(id, hashes)!
INSERT INTO console_recovery_code (user_id, code_hash) SELECT :id, unnest(:hashes::bytea[]);

-- name: use_recovery_code(id, code_hash)!
DELETE FROM console_recovery_code WHERE user_id = :id AND code_hash = :code_hash;

-- name: recovery_codes_left(id)$
SELECT count(*) FROM console_recovery_code WHERE user_id = :id;

-- name: add_link(token_hash, user_id, lifetime_s)!
INSERT INTO console_link (token_hash, user_id, expires_at)
VALUES (:token_hash, :user_id, clock_timestamp() + make_interval(secs => :lifetime_s));

-- name: drop_links(user_id)!
DELETE FROM console_link WHERE user_id = :user_id;

-- name: first_admin_link()$
SELECT first_admin_link();

-- name: link(token_hash)^
-- Of a user who may use it; that of the first administrator as long as there is none.
SELECT l.user_id, u.name
FROM console_link l
LEFT JOIN console_user u ON u.id = l.user_id
WHERE l.token_hash = :token_hash AND l.expires_at > clock_timestamp() AND NOT coalesce(u.is_disabled, false)
  AND (l.user_id IS NOT NULL OR NOT EXISTS (
        SELECT FROM console_user a WHERE a.role = 'admin' AND NOT a.is_disabled AND a.password_hash IS NOT NULL));

-- name: use_link(token_hash)!
DELETE FROM console_link WHERE token_hash = :token_hash AND expires_at > clock_timestamp();
