-- Devices that Leshan does not let in, for people to see: a row each endpoint, address and cause.

CREATE TABLE registration_refusal (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint    text NOT NULL,
    address     text NOT NULL,
    cause       text NOT NULL CHECK (cause <> ''),
    detail      text,
    count       bigint NOT NULL CHECK (count > 0),
    first_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (endpoint, address, cause)
);
CREATE INDEX registration_refusal_last ON registration_refusal (last_at, id);
COMMENT ON TABLE registration_refusal IS
    'Devices that Leshan did not let in; the newest 10,000 by endpoint, address and cause.';
COMMENT ON COLUMN registration_refusal.endpoint IS
    'As the device named itself; empty where that is not known, or where many were refused at once.';
COMMENT ON COLUMN registration_refusal.address IS 'Where it came from, without its port; empty of many at once.';
COMMENT ON COLUMN registration_refusal.cause IS 'A code of flownexus/leshan/refusals.py, such as wrong-key.';
GRANT SELECT, INSERT (endpoint, address, cause, detail, count), UPDATE (detail, count, last_at), DELETE
    ON registration_refusal TO flownexus_ingest;
GRANT SELECT ON registration_refusal TO flownexus_api, flownexus_grafana, flownexus_reader;
