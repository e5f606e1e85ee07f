-- The documented model (endpoint, resource_type, resource, event, event_resource, endpoint_operation, firmware)
-- and what stands beside it (delivery_mark, dead_letter, resource_latest, observe_plan).

REVOKE CREATE ON SCHEMA public FROM PUBLIC;

CREATE TABLE endpoint (
    id              integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE CHECK (name <> ''),
    registered      boolean NOT NULL DEFAULT false,
    registration_id text,
    address         text,
    lifetime        bigint,
    binding         text,
    lwm2m_version   text,
    objects         text[],
    presence        bigint NOT NULL DEFAULT 0,
    first_seen_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at    timestamptz,
    expires_at      timestamptz
) WITH (fillfactor = 80);
COMMENT ON TABLE endpoint IS 'A LwM2M client by its endpoint client name (OMA LwM2M Core 1.1, 6.2.1).';
COMMENT ON COLUMN endpoint.lifetime IS 'Seconds, as the device registered.';
COMMENT ON COLUMN endpoint.objects IS 'Object instances of the registration, such as /3/0; an object without instances as /5.';
COMMENT ON COLUMN endpoint.presence IS 'Rises by one with each registered or updated event: what "newer than a failure" is compared by.';
COMMENT ON COLUMN endpoint.expires_at IS 'Receipt of the last registration or update, plus lifetime; null where no lifetime is known.';

CREATE TABLE resource_type (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    object_id   integer NOT NULL CHECK (object_id BETWEEN 0 AND 65534),
    resource_id integer NOT NULL CHECK (resource_id BETWEEN 0 AND 65534),
    name        text,
    data_type   text NOT NULL CHECK (data_type IN ('INTEGER', 'UNSIGNED_INTEGER', 'FLOAT', 'STRING', 'BOOLEAN',
                                                   'TIME', 'OPAQUE', 'OBJLNK', 'CORELINK')),
    UNIQUE (object_id, resource_id)
);
COMMENT ON COLUMN resource_type.data_type IS 'The data type it was first seen with.';

-- Ids are taken in blocks of 1,000 by each writer, so that a batch needs no round trip to learn its own.
CREATE SEQUENCE resource_id_block INCREMENT BY 1000;
CREATE SEQUENCE event_id_block INCREMENT BY 1000;

-- One value. No foreign keys from the partitioned tables: their checks would cost more than the rows, and what they
-- point to is never deleted by any role of ours.
CREATE TABLE resource (
    time                 timestamptz NOT NULL,
    id                   bigint NOT NULL,
    stored_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    endpoint_id          integer NOT NULL,
    resource_type_id     integer NOT NULL,
    object_instance_id   integer NOT NULL CHECK (object_instance_id BETWEEN 0 AND 65534),
    resource_instance_id integer CHECK (resource_instance_id BETWEEN 0 AND 65534),
    boolean_value        boolean,
    integer_value        bigint,
    float_value          double precision,
    time_value           timestamptz,
    unsigned_value       numeric(20, 0),
    string_value         text,
    opaque_value         bytea,
    object_link_value    text,
    core_link_value      text,
    device_time_ms       bigint,
    PRIMARY KEY (time, id)
) PARTITION BY RANGE (time);
CREATE INDEX resource_series ON resource (endpoint_id, resource_type_id, object_instance_id, time);
COMMENT ON TABLE resource IS 'One value of one resource (instance) at one time; exactly one of the _value columns is set.';
COMMENT ON COLUMN resource.time IS 'The device''s time of the value, or Leshan''s receipt.';
COMMENT ON COLUMN resource.device_time_ms IS 'The device''s own time (epoch milliseconds) where it was not to be believed; time is then the receipt.';

CREATE TABLE event (
    time        timestamptz NOT NULL,
    id          bigint NOT NULL,
    stored_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    endpoint_id integer NOT NULL,
    event_type  text NOT NULL CHECK (event_type IN ('registered', 'updated', 'unregistered', 'composite', 'read')),
    PRIMARY KEY (time, id)
) PARTITION BY RANGE (time);
CREATE INDEX event_series ON event (endpoint_id, time);
COMMENT ON TABLE event IS 'Values that arrived together: a composite, a registration event, the answer to a read.';

CREATE TABLE event_resource (
    time        timestamptz NOT NULL,
    event_id    bigint NOT NULL,
    resource_id bigint NOT NULL,
    PRIMARY KEY (time, event_id, resource_id)
) PARTITION BY RANGE (time);
COMMENT ON TABLE event_resource IS 'Which values belong to an event; time is that of both.';

CREATE TABLE resource_default PARTITION OF resource DEFAULT;
CREATE TABLE event_default PARTITION OF event DEFAULT;
CREATE TABLE event_resource_default PARTITION OF event_resource DEFAULT;

CREATE TABLE resource_latest (
    endpoint_id          integer NOT NULL,
    resource_type_id     integer NOT NULL,
    object_instance_id   integer NOT NULL,
    resource_instance_id integer,
    time                 timestamptz NOT NULL,
    resource_id          bigint NOT NULL,
    boolean_value        boolean,
    integer_value        bigint,
    float_value          double precision,
    time_value           timestamptz,
    unsigned_value       numeric(20, 0),
    string_value         text,
    opaque_value         bytea,
    object_link_value    text,
    core_link_value      text,
    UNIQUE NULLS NOT DISTINCT (endpoint_id, resource_type_id, object_instance_id, resource_instance_id)
) WITH (fillfactor = 50);
COMMENT ON TABLE resource_latest IS 'The newest value of each resource (instance): one index look-up, however much history there is.';

CREATE TABLE endpoint_operation (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id       integer NOT NULL REFERENCES endpoint,
    operation_type    text NOT NULL CHECK (operation_type IN ('read', 'write', 'execute', 'observe', 'cancel-observe')),
    path              text NOT NULL,
    value             jsonb,
    arguments         text,
    repeatable        boolean NOT NULL DEFAULT false,
    priority          smallint NOT NULL DEFAULT 100,
    registration_id   text,
    status            text NOT NULL DEFAULT 'QUEUED'
                      CHECK (status IN ('QUEUED', 'SENDING', 'CONFIRMED', 'FAILED', 'CANCELLED')),
    attempts          smallint NOT NULL DEFAULT 0,
    waits_for_presence bigint NOT NULL DEFAULT 0,
    fence             bigint NOT NULL DEFAULT 0,
    lease_expires_at  timestamptz,
    result            jsonb,
    reason            text,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_attempt_at   timestamptz,
    finished_at       timestamptz,
    CHECK ((status = 'SENDING') = (lease_expires_at IS NOT NULL)),
    CHECK ((status IN ('CONFIRMED', 'FAILED', 'CANCELLED')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX endpoint_operation_one_in_flight ON endpoint_operation (endpoint_id) WHERE status = 'SENDING';
CREATE INDEX endpoint_operation_queue ON endpoint_operation (endpoint_id, priority, id) WHERE status = 'QUEUED';
CREATE INDEX endpoint_operation_leases ON endpoint_operation (lease_expires_at) WHERE status = 'SENDING';
CREATE INDEX endpoint_operation_history ON endpoint_operation (endpoint_id, id);
CREATE UNIQUE INDEX endpoint_operation_planned_once
    ON endpoint_operation (endpoint_id, operation_type, path, registration_id) WHERE registration_id IS NOT NULL;
COMMENT ON COLUMN endpoint_operation.registration_id IS 'Set on operations of the observe plan: the registration they belong to.';
COMMENT ON COLUMN endpoint_operation.waits_for_presence IS 'It is sent once endpoint.presence is at least this.';
COMMENT ON COLUMN endpoint_operation.fence IS 'Fencing token: rises with each claim; a result counts only with the newest.';
COMMENT ON COLUMN endpoint_operation.repeatable IS 'An execute that may be sent again when nobody knows whether it ran.';

CREATE TABLE firmware (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    version      text NOT NULL,
    file_name    text NOT NULL,
    download_url text NOT NULL CHECK (length(download_url) <= 255),
    size_bytes   bigint CHECK (size_bytes >= 0),
    sha256       bytea CHECK (length(sha256) = 32),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (version, file_name)
);
COMMENT ON COLUMN firmware.download_url IS 'What is written to 5/0/1 (at most 255 characters, OMA LwM2M Core 1.1, appendix E.6).';

CREATE TABLE delivery_mark (
    source   uuid NOT NULL,
    kind     text NOT NULL CHECK (kind IN ('single', 'composite', 'registration')),
    lane     integer NOT NULL CHECK (lane >= 0),
    mark     bigint NOT NULL DEFAULT 0,
    gaps     bigint NOT NULL DEFAULT 0,
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, kind, lane)
) WITH (fillfactor = 50);
COMMENT ON TABLE delivery_mark IS 'The highest item number stored of each (source, webhook kind, lane): what is at or below it is a repetition.';
COMMENT ON COLUMN delivery_mark.gaps IS 'How many numbers were never seen.';

CREATE TABLE dead_letter (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    reason      text NOT NULL,
    item        text NOT NULL,
    source      uuid,
    lane        integer,
    seq         bigint,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE dead_letter IS 'Items that could not be stored, as ASCII JSON, with the reason.';

CREATE TABLE observe_plan (
    id                 integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operation_type     text NOT NULL CHECK (operation_type IN ('read', 'observe')),
    object_id          integer NOT NULL CHECK (object_id BETWEEN 0 AND 65534),
    object_instance_id integer CHECK (object_instance_id BETWEEN 0 AND 65534),
    resource_id        integer CHECK (resource_id BETWEEN 0 AND 65534),
    enabled            boolean NOT NULL DEFAULT true,
    UNIQUE NULLS NOT DISTINCT (operation_type, object_id, object_instance_id, resource_id)
);
COMMENT ON TABLE observe_plan IS 'What is read or observed when a device registers, where the device has it.';
COMMENT ON COLUMN observe_plan.object_instance_id IS 'Null: with a resource, each instance the device has; without one, the object as a whole.';

INSERT INTO observe_plan (operation_type, object_id, object_instance_id, resource_id) VALUES
    ('read', 3, NULL, NULL),
    ('observe', 3303, NULL, 5700),
    ('observe', 5, 0, 3),
    ('observe', 5, 0, 5);

CREATE VIEW telemetry AS
SELECT r.time,
       e.name AS endpoint,
       '/' || t.object_id || '/' || r.object_instance_id || '/' || t.resource_id
           || coalesce('/' || r.resource_instance_id, '') AS path,
       t.object_id, r.object_instance_id, t.resource_id, r.resource_instance_id,
       coalesce(r.float_value, r.integer_value::double precision, r.unsigned_value::double precision,
                r.boolean_value::integer::double precision) AS number,
       coalesce(r.string_value, r.float_value::text, r.integer_value::text, r.unsigned_value::text,
                r.boolean_value::text, r.time_value::text, r.object_link_value, r.core_link_value,
                encode(r.opaque_value, 'hex')) AS value,
       r.stored_at
FROM resource r
JOIN endpoint e ON e.id = r.endpoint_id
JOIN resource_type t ON t.id = r.resource_type_id;
COMMENT ON VIEW telemetry IS 'Every value with its endpoint name and path, as people and dashboards read it.';

CREATE VIEW telemetry_latest AS
SELECT r.time,
       e.name AS endpoint,
       '/' || t.object_id || '/' || r.object_instance_id || '/' || t.resource_id
           || coalesce('/' || r.resource_instance_id, '') AS path,
       t.object_id, r.object_instance_id, t.resource_id, r.resource_instance_id,
       coalesce(r.float_value, r.integer_value::double precision, r.unsigned_value::double precision,
                r.boolean_value::integer::double precision) AS number,
       coalesce(r.string_value, r.float_value::text, r.integer_value::text, r.unsigned_value::text,
                r.boolean_value::text, r.time_value::text, r.object_link_value, r.core_link_value,
                encode(r.opaque_value, 'hex')) AS value
FROM resource_latest r
JOIN endpoint e ON e.id = r.endpoint_id
JOIN resource_type t ON t.id = r.resource_type_id;
COMMENT ON VIEW telemetry_latest IS 'The newest value of each resource, as people and dashboards read it.';
