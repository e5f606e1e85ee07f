-- The console changes profiles, looks after dead letters and gives its users tokens; housekeeping delivers again what it asks for.

ALTER TABLE dead_letter
    ADD COLUMN replay_asked_by text CHECK (replay_asked_by <> ''),
    ADD COLUMN replay_asked_at timestamptz,
    ADD COLUMN mended_item text,
    ADD COLUMN replay_outcome text,
    ADD CONSTRAINT dead_letter_replay_asked_check CHECK ((replay_asked_by IS NULL) = (replay_asked_at IS NULL));
CREATE INDEX dead_letter_replay_asked ON dead_letter (id) WHERE replay_asked_at IS NOT NULL AND settlement IS NULL;
COMMENT ON COLUMN dead_letter.replay_asked_by IS 'Who asked in the console to have it delivered again; housekeeping does.';
COMMENT ON COLUMN dead_letter.mended_item IS 'What is delivered in place of the item, which stays as it came; null: the item.';
COMMENT ON COLUMN dead_letter.replay_outcome IS 'What became of it when housekeeping delivered it again, in words.';
GRANT SELECT, UPDATE (settlement, settled_by, settled_at, replay_asked_by, replay_asked_at, mended_item)
    ON dead_letter TO flownexus_console;
GRANT SELECT (kind, item, settlement, replay_asked_by, replay_asked_at, mended_item),
    UPDATE (settlement, settled_by, settled_at, replay_outcome) ON dead_letter TO flownexus_housekeeping;

-- As flownexus_api has it (039).
GRANT INSERT, UPDATE, DELETE ON profile TO flownexus_console;
GRANT UPDATE (reconcile_at) ON endpoint TO flownexus_console;

ALTER TABLE api_token ADD COLUMN user_id integer REFERENCES console_user;
CREATE INDEX api_token_user ON api_token (user_id) WHERE user_id IS NOT NULL;
COMMENT ON COLUMN api_token.user_id IS 'The user who made it in the console; revoked with what they may do. Null: made by REST.';
GRANT SELECT (id, name, owner, scopes, prefix, created_at, created_by, expires_at, last_used_at, revoked_at, revoked_by, user_id),
    INSERT (name, owner, scopes, prefix, sha256, created_by, expires_at, user_id),
    UPDATE (revoked_at, revoked_by) ON api_token TO flownexus_console;
GRANT INSERT (user_id) ON api_token TO flownexus_api; -- always null there

-- Its page of the system's health: when a batch came last, and what was missing.
GRANT SELECT (gaps, moved_at) ON delivery_mark TO flownexus_console;
