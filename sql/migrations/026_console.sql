-- Those who sign in to the console: users, sessions, links, attempts; and who did what, which nobody can edit.
-- narrows: only what is new here; no function of the version before knows it.

CREATE TABLE console_user (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._@-]{0,63}$'),
    role          text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
    password_hash text,
    totp_secret   text,
    totp_step     bigint,
    is_disabled   boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    signed_in_at  timestamptz
);
COMMENT ON TABLE console_user IS 'Who may sign in to the console.';
COMMENT ON COLUMN console_user.password_hash IS 'Argon2id, with its parameters; null until the user has chosen a password.';
COMMENT ON COLUMN console_user.totp_secret IS 'The shared secret of the second factor (RFC 6238), in base32; null without one.';
COMMENT ON COLUMN console_user.totp_step IS 'The step of time of the last code that was taken: none is taken twice.';

CREATE TABLE console_recovery_code (
    user_id   integer NOT NULL REFERENCES console_user ON DELETE CASCADE,
    code_hash bytea NOT NULL CHECK (length(code_hash) = 32),
    PRIMARY KEY (user_id, code_hash)
);
COMMENT ON TABLE console_recovery_code IS 'Codes in place of the second factor, by their SHA-256; one that was used is gone.';

CREATE TABLE console_session (
    token_hash  bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id     integer NOT NULL REFERENCES console_user ON DELETE CASCADE,
    is_complete boolean NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    active_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz NOT NULL,
    address     text NOT NULL,
    browser     text NOT NULL
);
CREATE INDEX console_session_user ON console_session (user_id);
COMMENT ON TABLE console_session IS 'Who is signed in, by the SHA-256 of the cookie.';
COMMENT ON COLUMN console_session.is_complete IS 'False: the password was right, and the second factor is awaited.';
COMMENT ON COLUMN console_session.active_at IS 'When its user last did something, to the minute; a page that refreshes itself does not count.';

CREATE TABLE console_link (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id    integer REFERENCES console_user ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE console_link IS 'Links that work once: to choose a password. By the SHA-256 of their token.';
COMMENT ON COLUMN console_link.user_id IS 'Null: that of the first administrator, who has no row yet.';

CREATE TABLE console_attempt (
    bucket        text PRIMARY KEY,
    attempts      integer NOT NULL,
    attempted_at  timestamptz NOT NULL,
    blocked_until timestamptz NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE console_attempt IS 'Attempts to sign in since the last good one, of an account, a browser or an address.';

CREATE TABLE console_browser (
    token_hash bytea NOT NULL CHECK (length(token_hash) = 32),
    user_id    integer NOT NULL REFERENCES console_user ON DELETE CASCADE,
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, token_hash)
);
COMMENT ON TABLE console_browser IS 'Browsers from which a user has signed in: their attempts are counted by themselves.';

CREATE TABLE audit_entry (
    id       bigint PRIMARY KEY,
    entry    jsonb NOT NULL,
    hash     bytea NOT NULL,
    endpoint text GENERATED ALWAYS AS (entry ->> 'endpoint') STORED
);
CREATE INDEX audit_entry_endpoint ON audit_entry (endpoint, id) WHERE endpoint IS NOT NULL;
COMMENT ON TABLE audit_entry IS 'Who did what to which device; added to by append_audit() only.';
COMMENT ON COLUMN audit_entry.entry IS 'id, at, by, action, endpoint, detail, and previous: the hash of the entry before, in hex.';
COMMENT ON COLUMN audit_entry.hash IS 'SHA-256 of the entry''s text.';

-- It runs as the owner: who calls it cannot write the table, and so not choose a number, a time or a hash.
CREATE FUNCTION append_audit(by text, action text, endpoint text, detail jsonb) RETURNS bytea
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    before  record;
    told    jsonb;
    told_hash bytea;
BEGIN
    LOCK TABLE public.audit_entry IN SHARE ROW EXCLUSIVE MODE;
    SELECT a.id, a.hash INTO before FROM public.audit_entry a ORDER BY a.id DESC LIMIT 1;
    told := jsonb_build_object(
        'id', coalesce(before.id, 0) + 1,
        'at', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'by', by, 'action', action, 'endpoint', endpoint, 'detail', detail,
        'previous', coalesce(encode(before.hash, 'hex'), ''));
    told_hash := sha256(convert_to(told::text, 'UTF8'));
    INSERT INTO public.audit_entry (id, entry, hash) VALUES (coalesce(before.id, 0) + 1, told, told_hash);
    RETURN told_hash;
END
$$;
COMMENT ON FUNCTION append_audit IS 'Add an entry to the audit log, one at a time; returns its hash.';
REVOKE EXECUTE ON FUNCTION append_audit FROM PUBLIC;

-- For whoever owns the database alone: the one link that is not an administrator's to make.
CREATE FUNCTION first_admin_link() RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    token text := encode(sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')), 'hex');
BEGIN
    IF EXISTS (SELECT FROM console_user WHERE role = 'admin' AND NOT is_disabled AND password_hash IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    DELETE FROM console_link WHERE user_id IS NULL;
    INSERT INTO console_link (token_hash, user_id, expires_at)
    VALUES (sha256(convert_to(token, 'UTF8')), NULL, clock_timestamp() + interval '24 hours');
    RETURN token;
END
$$;
COMMENT ON FUNCTION first_admin_link IS
    'The token of a link that makes the first administrator, /function/console/welcome/<token>; null where one can sign in.';
REVOKE EXECUTE ON FUNCTION first_admin_link FROM PUBLIC;

GRANT USAGE ON SCHEMA public TO flownexus_console;
GRANT SELECT, INSERT (name, role), UPDATE (role, password_hash, totp_secret, totp_step, is_disabled, signed_in_at)
    ON console_user TO flownexus_console;
GRANT SELECT, INSERT, DELETE ON console_recovery_code, console_link TO flownexus_console;
GRANT SELECT, INSERT, DELETE, UPDATE (active_at) ON console_session TO flownexus_console;
GRANT SELECT, INSERT, UPDATE, DELETE ON console_attempt TO flownexus_console;
GRANT SELECT, INSERT, DELETE, UPDATE (seen_at) ON console_browser TO flownexus_console;
GRANT SELECT ON audit_entry TO flownexus_console;
GRANT EXECUTE ON FUNCTION append_audit, series, next_operation TO flownexus_console;

-- What its users see, and ask of devices: as the REST API.
GRANT SELECT ON endpoint, resource_type, resource_model, resource, resource_latest, telemetry_latest TO flownexus_console;
GRANT SELECT (time, endpoint_id, event_type) ON event TO flownexus_console;
GRANT SELECT, INSERT (
    endpoint_id, operation_type, path, paths, concerns, value, arguments, repeatable, priority, requested_by,
    idempotency_key, request_fingerprint, not_before, expires_at), UPDATE (status, finished_at, reason)
    ON endpoint_operation TO flownexus_console;
