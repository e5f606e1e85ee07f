-- Passkeys (WebAuthn) as a second factor of the console's users.

CREATE TABLE console_passkey (
    id            integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id       integer NOT NULL REFERENCES console_user ON DELETE CASCADE,
    credential_id bytea NOT NULL UNIQUE CHECK (length(credential_id) BETWEEN 1 AND 1023),
    public_key    bytea NOT NULL,
    sign_count    bigint NOT NULL,
    transports    text[] NOT NULL,
    name          text NOT NULL CHECK (name <> ''),
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    used_at       timestamptz
);
CREATE INDEX console_passkey_user ON console_passkey (user_id);
COMMENT ON TABLE console_passkey IS 'Passkeys of users: a second factor at the sign-in. Their private keys never leave the users'' devices.';
COMMENT ON COLUMN console_passkey.credential_id IS 'What the passkey''s device calls it.';
COMMENT ON COLUMN console_passkey.public_key IS 'In COSE (RFC 9052).';
COMMENT ON COLUMN console_passkey.sign_count IS 'What its device counted at its last use; 0 from one that does not count. It rises, or there is a copy.';
COMMENT ON COLUMN console_passkey.transports IS 'How a browser reaches it, such as usb or internal.';

CREATE TABLE console_challenge (
    token_hash bytea NOT NULL REFERENCES console_session ON DELETE CASCADE,
    purpose    text NOT NULL CHECK (purpose IN ('add', 'use')),
    challenge  bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (token_hash, purpose)
);
COMMENT ON TABLE console_challenge IS 'What a passkey is to sign, of one session and one purpose: the newest alone, which counts once.';

GRANT SELECT, INSERT, DELETE, UPDATE (sign_count, used_at) ON console_passkey TO flownexus_console;
GRANT SELECT, INSERT, DELETE, UPDATE (challenge, expires_at) ON console_challenge TO flownexus_console;
