-- Event types and log resources are declared by REST.

ALTER TABLE event_type ADD COLUMN set_by text, ADD COLUMN set_at timestamptz NOT NULL DEFAULT clock_timestamp();
COMMENT ON COLUMN event_type.set_by IS 'Who declared it by REST; null where it was done in SQL.';
GRANT INSERT, UPDATE, DELETE ON event_type TO flownexus_api;

ALTER TABLE log_resource ADD COLUMN set_by text, ADD COLUMN set_at timestamptz NOT NULL DEFAULT clock_timestamp();
COMMENT ON COLUMN log_resource.set_by IS 'Who declared it by REST; null where it was done in SQL.';
GRANT SELECT, INSERT, UPDATE, DELETE ON log_resource TO flownexus_api;
