-- When a registration began, by its sender's clock: what its end is compared to where no registration id is told.

ALTER TABLE endpoint ADD COLUMN registered_at timestamptz;
COMMENT ON COLUMN endpoint.registered_at IS 'Date of the newest registration, as its registered event told it; an older unregistered event does not count.';
COMMENT ON COLUMN endpoint.last_seen_at IS 'When the last registration or update was stored, by PostgreSQL''s clock.';
COMMENT ON COLUMN endpoint.expires_at IS 'When the last registration or update was stored, plus lifetime, or plus a day where no lifetime is known.';
