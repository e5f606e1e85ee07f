-- What the columns of the views are, for whoever reads them.

COMMENT ON COLUMN telemetry.time IS 'The device''s time of the value, or Leshan''s receipt.';
COMMENT ON COLUMN telemetry.path IS 'Its LwM2M path, such as /3303/0/5700; with a resource instance /3/0/7/1.';
COMMENT ON COLUMN telemetry.number IS 'The value as a number, where it is one; a boolean as 0 or 1.';
COMMENT ON COLUMN telemetry.value IS 'The value as text; OPAQUE in hex.';
COMMENT ON COLUMN telemetry.stored_at IS 'When it was stored, by PostgreSQL''s clock.';
COMMENT ON COLUMN telemetry_latest.time IS 'The device''s time of the value, or Leshan''s receipt.';
COMMENT ON COLUMN telemetry_latest.path IS 'Its LwM2M path, such as /3303/0/5700; with a resource instance /3/0/7/1.';
COMMENT ON COLUMN telemetry_latest.number IS 'The value as a number, where it is one; a boolean as 0 or 1.';
COMMENT ON COLUMN telemetry_latest.value IS 'The value as text; OPAQUE in hex.';
