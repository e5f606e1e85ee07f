-- Presence: what a device sends is a contact, and of each it is known how long it listens after one.
-- narrows: what is revoked from everybody are functions that are new.

ALTER TABLE endpoint
    ADD COLUMN awake_time_s double precision CHECK (awake_time_s > 0),
    ADD COLUMN awake_time_told boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN endpoint.awake_time_s IS
    'Seconds that a device of queue mode listens after a contact, as the last registration event said.';
COMMENT ON COLUMN endpoint.awake_time_told IS 'The device itself said awake_time_s; else it is Leshan''s setting.';
COMMENT ON COLUMN endpoint.last_seen_at IS
    'When the last registration event was stored, by PostgreSQL''s clock; never more than a minute before its newest value.';
COMMENT ON COLUMN endpoint.contact_count IS
    'Rises by one with each registered, updated or heard event: what "newer than a failure" is compared by.';

-- A device was heard again: it had slept, had not answered, or has another address. Wider than before: no row is looked at.
ALTER TABLE event
    DROP CONSTRAINT event_event_type_check,
    ADD CONSTRAINT event_event_type_check
        CHECK (event_type IN ('registered', 'updated', 'unregistered', 'heard', 'composite', 'read')) NOT VALID;
DROP INDEX event_contact;
CREATE INDEX event_contact ON event (endpoint_id, time)
    WHERE event_type IN ('registered', 'updated', 'unregistered', 'heard');

CREATE FUNCTION awake_time(device endpoint) RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN device.binding LIKE '%Q%' THEN make_interval(secs => coalesce(device.awake_time_s, 93)) END
$$;
COMMENT ON FUNCTION awake_time IS
    'How long a device of queue mode listens after a contact: as it said itself, else Leshan''s setting.';
CREATE FUNCTION presence(device endpoint) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN NOT device.registered OR device.expires_at <= statement_timestamp() THEN 'offline'
        WHEN coalesce(device.binding NOT LIKE '%Q%', true) THEN 'registered'
        WHEN device.unreachable_at_contact < device.contact_count
             AND device.last_seen_at + awake_time(device) > statement_timestamp() THEN 'awake'
        ELSE 'asleep' END
$$;
COMMENT ON FUNCTION presence IS
    'registered: without queue mode, it always listens; awake and asleep: of queue mode; offline: deregistered, or its lifetime is over.';
REVOKE EXECUTE ON FUNCTION awake_time, presence FROM PUBLIC;
GRANT EXECUTE ON FUNCTION awake_time, presence TO flownexus_api, flownexus_grafana, flownexus_reader;
GRANT EXECUTE ON FUNCTION awake_time TO flownexus_ingest;

GRANT UPDATE (awake_time_s, awake_time_told) ON endpoint TO flownexus_ingest;
GRANT UPDATE (last_seen_at) ON endpoint TO flownexus_dispatch;
