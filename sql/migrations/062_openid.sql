-- Users of the console who sign in by a provider of OpenID Connect.

ALTER TABLE console_user
    ADD COLUMN openid_issuer text,
    ADD COLUMN openid_subject text,
    ADD CONSTRAINT console_user_openid_check CHECK ((openid_issuer IS NULL) = (openid_subject IS NULL)),
    ADD CONSTRAINT console_user_openid_key UNIQUE (openid_issuer, openid_subject);
COMMENT ON COLUMN console_user.openid_issuer IS 'The provider by which the user signs in, besides or without a password; null where by none.';
COMMENT ON COLUMN console_user.openid_subject IS 'Who the user is there: what never changes, unlike a name or an address.';

CREATE TABLE console_openid_attempt (
    state_hash bytea PRIMARY KEY CHECK (length(state_hash) = 32),
    token_hash bytea NOT NULL CHECK (length(token_hash) = 32),
    nonce      text NOT NULL,
    verifier   text NOT NULL,
    back       text NOT NULL,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE console_openid_attempt IS 'Sign-ins that wait for a browser to come back from the provider, by the SHA-256 of their state; each counts once.';
COMMENT ON COLUMN console_openid_attempt.token_hash IS 'The SHA-256 of the cookie of the browser that began it: no other one may end it.';

GRANT UPDATE (openid_issuer, openid_subject) ON console_user TO flownexus_console;
GRANT SELECT, INSERT, DELETE ON console_openid_attempt TO flownexus_console;
