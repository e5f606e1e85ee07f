-- Tokens that administrators give out by REST. The secret flownexus-api-token stays, for the first administrator.

CREATE TABLE api_token (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (name <> ''),
    owner text NOT NULL CHECK (owner <> ''),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0),
    prefix text NOT NULL UNIQUE CHECK (prefix ~ '^[0-9a-f]{8}$'),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text NOT NULL CHECK (created_by <> ''),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_by text CHECK (revoked_by <> ''),
    CHECK ((revoked_at IS NULL) = (revoked_by IS NULL))
);
-- Of two that are valid at once, the name says which one asked for something.
CREATE UNIQUE INDEX api_token_name ON api_token (name) WHERE revoked_at IS NULL;

COMMENT ON TABLE api_token IS 'Tokens of the functions api and operations, besides those of the secret flownexus-api-token.';
COMMENT ON COLUMN api_token.name IS 'Of a token that is not revoked it is its own; requested_by of what it asks for.';
COMMENT ON COLUMN api_token.owner IS 'Who has it, in words of the administrator.';
COMMENT ON COLUMN api_token.scopes IS 'What it may do: read, operate, administer.';
COMMENT ON COLUMN api_token.prefix IS 'Its public part, by which it is looked up.';
COMMENT ON COLUMN api_token.sha256 IS 'The hash of the whole token, which is kept nowhere.';
COMMENT ON COLUMN api_token.last_used_at IS 'Written at most once a minute.';

-- Nobody else has any business here: not even a hash is read by Grafana or flownexus_reader.
GRANT SELECT, INSERT (name, owner, scopes, prefix, sha256, created_by, expires_at),
    UPDATE (last_used_at, revoked_at, revoked_by) ON api_token TO flownexus_api;
