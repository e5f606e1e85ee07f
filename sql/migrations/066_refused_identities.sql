-- An unknown identity is a row of its own: many devices may have one address.
-- narrows: only the key of a table that no function of the version before knows.

ALTER TABLE registration_refusal
    ADD COLUMN identity text NOT NULL DEFAULT '',
    DROP CONSTRAINT registration_refusal_endpoint_address_cause_key,
    ADD UNIQUE (endpoint, address, cause, identity);
COMMENT ON TABLE registration_refusal IS
    'Devices that Leshan did not let in; the newest 10,000 by endpoint, address, cause and unknown identity.';
COMMENT ON COLUMN registration_refusal.identity IS 'An unknown identity, as detail says it; else empty.';
COMMENT ON COLUMN registration_refusal.endpoint IS
    'As the device named itself, or whose identity or certificate it showed; empty where that is not known, or '
    'where many were refused at once.';
GRANT INSERT (identity) ON registration_refusal TO flownexus_ingest;
