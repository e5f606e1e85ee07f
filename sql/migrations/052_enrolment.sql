-- Credentials of devices, of which Leshan has a copy. Of a pre-shared key the sealed text is kept, of the other
-- kinds public parts alone.

CREATE TABLE enrolment (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    source uuid NOT NULL DEFAULT gen_random_uuid(),
    revision bigint NOT NULL DEFAULT 0 CHECK (revision >= 0),
    unenrolled text NOT NULL DEFAULT 'refused' CHECK (unenrolled IN ('refused', 'admitted'))
);
INSERT INTO enrolment DEFAULT VALUES;
COMMENT ON TABLE enrolment IS 'One row: how far the credentials have changed, and the rule for who has none.';
COMMENT ON COLUMN enrolment.source IS 'By which Leshan knows that its copy is of another database.';
COMMENT ON COLUMN enrolment.revision IS
    'Rises with each change of an endpoint''s credentials. A change holds this row until its commit, so revisions are committed in their order.';
COMMENT ON COLUMN enrolment.unenrolled IS
    'refused: once an endpoint is enrolled, who is not may do nothing. admitted: Leshan''s --plain-coap decides.';

CREATE TABLE enrolled_endpoint (
    name text PRIMARY KEY CHECK (name <> ''),
    revision bigint NOT NULL UNIQUE
);
COMMENT ON TABLE enrolled_endpoint IS 'Endpoints that have, or had, credentials; without a valid one they are refused.';
COMMENT ON COLUMN enrolled_endpoint.revision IS 'That of the last change of its credentials.';

CREATE TABLE device_credential (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint text NOT NULL REFERENCES enrolled_endpoint (name),
    mode text NOT NULL CHECK (mode IN ('psk', 'rpk', 'x509')),
    identity text CHECK (identity <> ''),
    sealed_key bytea,
    public_key bytea,
    fingerprint text CHECK (fingerprint ~ '^[0-9a-f]{64}$'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text NOT NULL CHECK (created_by <> ''),
    expires_at timestamptz,
    revoked_at timestamptz,
    revoked_by text CHECK (revoked_by <> ''),
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL)),
    CHECK ((mode = 'psk') = (identity IS NOT NULL)),
    CHECK ((mode = 'psk' AND revoked_at IS NULL) = (sealed_key IS NOT NULL)),
    CHECK ((mode = 'psk') = (fingerprint IS NULL)),
    CHECK ((mode = 'rpk') = (public_key IS NOT NULL))
);
CREATE INDEX device_credential_endpoint ON device_credential (endpoint, id);
-- A device that proves itself is one device.
CREATE UNIQUE INDEX device_credential_identity ON device_credential (identity) WHERE revoked_at IS NULL;
CREATE UNIQUE INDEX device_credential_fingerprint ON device_credential (fingerprint) WHERE revoked_at IS NULL;

COMMENT ON TABLE device_credential IS 'Each key or certificate by which a device may prove its name.';
COMMENT ON COLUMN device_credential.mode IS 'psk: pre-shared key; rpk: raw public key; x509: certificate of the CA.';
COMMENT ON COLUMN device_credential.identity IS 'Of a pre-shared key: what the device names itself by in the handshake.';
COMMENT ON COLUMN device_credential.sealed_key IS
    'The pre-shared key, encrypted by the secret flownexus-credential-key; gone once it is revoked.';
COMMENT ON COLUMN device_credential.public_key IS 'Of a raw public key: it, as SubjectPublicKeyInfo in DER.';
COMMENT ON COLUMN device_credential.fingerprint IS 'The SHA-256 of the public key, or of the certificate, both in DER.';

-- Nobody else has any business here, and those that take what devices send least of all.
GRANT SELECT ON enrolment, enrolled_endpoint, device_credential
    TO flownexus_api, flownexus_console, flownexus_housekeeping;
GRANT UPDATE (revision, unenrolled) ON enrolment TO flownexus_api, flownexus_console;
GRANT INSERT, UPDATE (revision) ON enrolled_endpoint TO flownexus_api, flownexus_console;
GRANT INSERT (endpoint, mode, identity, sealed_key, public_key, fingerprint, created_by, expires_at),
    UPDATE (expires_at, revoked_at, revoked_by, sealed_key) ON device_credential TO flownexus_api, flownexus_console;
