-- A push that is under way when its update is cancelled is not asked for again: its operation expires.

GRANT UPDATE (expires_at) ON endpoint_operation TO flownexus_firmware;

COMMENT ON COLUMN firmware_update.state IS 'Where it stands, by flownexus/firmware/state.py.';
