-- Endpoints that are made before they first register, and what the REST API tells of presence.
-- narrows: only what is new here; no function of the version before knows it.

ALTER TABLE endpoint ADD COLUMN made_by text;
COMMENT ON COLUMN endpoint.made_by IS 'Who made it before it first registered; null where it came by itself.';
COMMENT ON COLUMN endpoint.first_seen_at IS 'When it was first heard of, or made.';
GRANT INSERT (name, made_by) ON endpoint TO flownexus_api;

CREATE FUNCTION last_contacts(device endpoint, most integer) RETURNS timestamptz[]
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT ARRAY(SELECT c.time FROM event c
                 WHERE c.endpoint_id = device.id AND c.event_type IN ('registered', 'updated', 'heard')
                 ORDER BY c.time DESC
                 LIMIT most);
END;
COMMENT ON FUNCTION last_contacts IS 'Times of its newest registered, updated and heard events, the newest first.';

CREATE FUNCTION offline_since(device endpoint) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN presence(device) = 'offline' THEN coalesce(
        device.expires_at,
        (SELECT max(d.time) FROM event d WHERE d.endpoint_id = device.id AND d.event_type = 'unregistered'),
        device.last_seen_at) END;
END;
COMMENT ON FUNCTION offline_since IS
    'When its registration ended: its lifetime was over, or it deregistered; null where it is not offline, or was never heard.';

REVOKE EXECUTE ON FUNCTION last_contacts, offline_since FROM PUBLIC;
GRANT EXECUTE ON FUNCTION last_contacts, offline_since TO flownexus_api, flownexus_grafana, flownexus_reader;
