-- Forms of the console that count once: sent again, such as by reloading the page that answered, they do nothing.

CREATE TABLE console_form (
    key_hash   bytea PRIMARY KEY CHECK (length(key_hash) = 32),
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE console_form IS 'Forms that were sent and count once, by the SHA-256 of their key.';
COMMENT ON COLUMN console_form.expires_at IS 'When every session is over in which the form can have been made.';

GRANT SELECT, INSERT, DELETE ON console_form TO flownexus_console;
