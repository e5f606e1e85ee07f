-- Bootstrap (LwM2M 1.1, 6.1): factory keys, what is handed out for them by profile, and the sessions of late.
-- narrows: factory_used_at is new here, and nobody but flownexus_api has use for it.

CREATE TABLE bootstrap_profile (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
    server_uri text CHECK (server_uri ~ '^coaps://'),
    short_server_id integer NOT NULL DEFAULT 1 CHECK (short_server_id BETWEEN 1 AND 65534),
    lifetime integer NOT NULL DEFAULT 86400 CHECK (lifetime > 0),
    binding text NOT NULL DEFAULT 'U' CHECK (binding IN ('U', 'UQ')),
    min_period integer CHECK (min_period >= 0),
    max_period integer CHECK (max_period >= 0),
    disable_timeout integer CHECK (disable_timeout >= 0),
    store_notifications boolean NOT NULL DEFAULT true,
    objects jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(objects) = 'object'),
    changed_by text NOT NULL CHECK (changed_by <> ''),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO bootstrap_profile (name, changed_by) VALUES ('default', 'flownexus');
COMMENT ON TABLE bootstrap_profile IS 'What a bootstrapped device is told besides its key: objects 0 and 1, and others.';
COMMENT ON COLUMN bootstrap_profile.server_uri IS 'Where it registers; null: the setting COAPS_URL.';
COMMENT ON COLUMN bootstrap_profile.objects IS
    'Resources of other objects that are written, by path: {"/2/0/0": 3}. Not secret here; of object 21 they are the same for all its devices.';

CREATE TABLE factory_credential (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint text NOT NULL CHECK (endpoint <> ''),
    identity text NOT NULL CHECK (identity <> ''),
    sealed_key bytea,
    profile text NOT NULL REFERENCES bootstrap_profile (name),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text NOT NULL CHECK (created_by <> ''),
    handed_id bigint REFERENCES device_credential (id),
    handed_at timestamptz,
    given_id bigint REFERENCES device_credential (id),
    used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text CHECK (revoked_by <> ''),
    CHECK ((handed_id IS NULL) = (handed_at IS NULL)),
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL)),
    CHECK ((revoked_at IS NULL) = (sealed_key IS NOT NULL))
);
-- Of one endpoint and of one identity there is one that counts.
CREATE UNIQUE INDEX factory_credential_endpoint ON factory_credential (endpoint) WHERE revoked_at IS NULL;
CREATE UNIQUE INDEX factory_credential_identity ON factory_credential (identity) WHERE revoked_at IS NULL;
CREATE INDEX factory_credential_profile ON factory_credential (profile);
COMMENT ON TABLE factory_credential IS 'Pre-shared keys that devices have from the factory, for the bootstrap server alone.';
COMMENT ON COLUMN factory_credential.sealed_key IS
    'The key, encrypted by the secret flownexus-credential-key; gone once it is revoked.';
COMMENT ON COLUMN factory_credential.handed_id IS 'The credential of the newest session that has not finished yet.';
COMMENT ON COLUMN factory_credential.given_id IS 'The credential of the newest session that has finished.';
COMMENT ON COLUMN factory_credential.used_at IS
    'When a device finished with it; it is refused from then on. So it is once the endpoint registers with what it was handed.';

CREATE FUNCTION factory_used_at(given factory_credential) RETURNS timestamptz STABLE LANGUAGE sql AS $$
    SELECT coalesce(given.used_at, (
        SELECT e.registered_at FROM public.endpoint e
        WHERE e.name = given.endpoint AND e.secure AND e.registered_at > given.handed_at
    ))
$$;
COMMENT ON FUNCTION factory_used_at IS
    'Since when a factory key is refused: its device finished, or has registered after it was handed credentials.';
REVOKE EXECUTE ON FUNCTION factory_used_at FROM PUBLIC;
GRANT EXECUTE ON FUNCTION factory_used_at TO flownexus_api;

CREATE TABLE bootstrap_session (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint text NOT NULL,
    factory_credential_id bigint REFERENCES factory_credential,
    credential_id bigint REFERENCES device_credential,
    address text NOT NULL,
    state text NOT NULL CHECK (state IN ('begun', 'finished', 'failed', 'refused')),
    detail text,
    times integer NOT NULL DEFAULT 1 CHECK (times > 0),
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz
);
CREATE INDEX bootstrap_session_endpoint ON bootstrap_session (endpoint, id);
COMMENT ON TABLE bootstrap_session IS 'The newest 20 sessions of each endpoint, and the newest 10,000 of all.';
COMMENT ON COLUMN bootstrap_session.endpoint IS 'As the device named itself, or as its factory key says.';
COMMENT ON COLUMN bootstrap_session.address IS 'Where it came from; empty where it was refused in the handshake.';
COMMENT ON COLUMN bootstrap_session.times IS 'How often in a row it was refused for the same reason; ended_at is of the last time.';

GRANT SELECT, INSERT, DELETE, UPDATE (server_uri, short_server_id, lifetime, binding, min_period, max_period,
    disable_timeout, store_notifications, objects, changed_by, changed_at) ON bootstrap_profile TO flownexus_api;
GRANT SELECT, INSERT (endpoint, identity, sealed_key, profile, created_by),
    UPDATE (profile, handed_id, handed_at, given_id, used_at, revoked_at, revoked_by, sealed_key)
    ON factory_credential TO flownexus_api;
GRANT SELECT, INSERT (endpoint, factory_credential_id, credential_id, address, state, detail, ended_at), DELETE,
    UPDATE (state, detail, times, ended_at) ON bootstrap_session TO flownexus_api;
GRANT SELECT ON bootstrap_session TO flownexus_console;
