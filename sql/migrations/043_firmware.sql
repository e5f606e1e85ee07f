-- Firmware over the air: packages in chunks, the update of one device by one of them with its steps, and what was served.

-- A package is served by our own server, unless it has a URL of its own. No function has read this table.
ALTER TABLE firmware
    ALTER COLUMN download_url DROP NOT NULL,
    ADD COLUMN label text CHECK (label <> ''),
    ADD COLUMN model text CHECK (model <> ''),
    ADD COLUMN version_path text NOT NULL DEFAULT '/3/0/3' CHECK (version_path ~ '^/[0-9]+/[0-9]+/[0-9]+$'),
    ADD COLUMN success text NOT NULL DEFAULT 'version' CHECK (success IN ('version', 'result')),
    ADD COLUMN mcuboot jsonb,
    ADD COLUMN uploaded_by text,
    ADD COLUMN completed_at timestamptz,
    ADD COLUMN retired_at timestamptz,
    ADD COLUMN retired_by text;
COMMENT ON TABLE firmware IS 'A firmware package; its content is in firmware_chunk.';
COMMENT ON COLUMN firmware.version IS 'What a device reports once it runs this package, as exact text.';
COMMENT ON COLUMN firmware.download_url IS
    'What is written to 5/0/1, with {token} for the update''s token; null: a URL of our own server.';
COMMENT ON COLUMN firmware.label IS 'What people call it; null: as its version.';
COMMENT ON COLUMN firmware.model IS 'The model number (3/0/1) of the devices that it is for; null: of any.';
COMMENT ON COLUMN firmware.version_path IS 'The resource at which a device reports its version.';
COMMENT ON COLUMN firmware.success IS 'What makes an update CONFIRMED: version, the reported one; or result, 5/0/5 = 1 of devices that report no version.';
COMMENT ON COLUMN firmware.mcuboot IS 'What the header of a MCUboot image says; null where the package begins with none.';
COMMENT ON COLUMN firmware.completed_at IS 'When all of it had come, with the SHA-256 that was announced; null: it is being uploaded.';
COMMENT ON COLUMN firmware.retired_at IS 'From then on nobody is served it.';

CREATE TABLE firmware_chunk (
    firmware_id integer NOT NULL REFERENCES firmware ON DELETE CASCADE,
    number      integer NOT NULL CHECK (number >= 0),
    content     bytea NOT NULL,
    PRIMARY KEY (firmware_id, number)
);
-- Not compressed: packages hardly can be, and a part of one is read without the rest.
ALTER TABLE firmware_chunk ALTER COLUMN content SET STORAGE EXTERNAL;
COMMENT ON TABLE firmware_chunk IS 'The content of packages, in pieces of 512 KiB; the last one may be shorter.';

CREATE TABLE firmware_update (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id       integer NOT NULL REFERENCES endpoint ON DELETE CASCADE,
    firmware_id       integer NOT NULL REFERENCES firmware,
    token             text NOT NULL UNIQUE CHECK (length(token) BETWEEN 20 AND 60),
    state             text NOT NULL DEFAULT 'QUEUED'
                      CHECK (state IN ('QUEUED', 'ASKING', 'RESETTING', 'OFFERING', 'DOWNLOADING', 'INSTALLING', 'DEFERRED',
                                       'RETURNED', 'WAITING', 'CANCELLING', 'CONFIRMED', 'FAILED', 'CANCELLED', 'SKIPPED')),
    since             timestamptz NOT NULL DEFAULT clock_timestamp(),
    words             text NOT NULL DEFAULT 'it begins within seconds',
    failure           text,
    tries             smallint NOT NULL DEFAULT 0,
    not_before        timestamptz,
    command           bigint,
    state_ask         bigint,
    version_ask       bigint,
    asks              integer NOT NULL DEFAULT 0,
    registration_seen text,
    requested_by      text NOT NULL,
    cancelled_by      text,
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at       timestamptz,
    CHECK ((state IN ('CONFIRMED', 'FAILED', 'CANCELLED', 'SKIPPED')) = (finished_at IS NOT NULL))
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX firmware_update_one_open ON firmware_update (endpoint_id) WHERE finished_at IS NULL;
CREATE INDEX firmware_update_open ON firmware_update (id) WHERE finished_at IS NULL;
CREATE INDEX firmware_update_history ON firmware_update (endpoint_id, id);
COMMENT ON TABLE firmware_update IS 'The update of one device by one package; of those that are open a device has one.';
COMMENT ON COLUMN firmware_update.token IS 'A secret of the path from which this device, and no other, gets the package for this update.';
COMMENT ON COLUMN firmware_update.state IS 'Where it stands, by flownexus/firmware/update.py.';
COMMENT ON COLUMN firmware_update.since IS 'When it came into its state.';
COMMENT ON COLUMN firmware_update.words IS 'Its last step, in words.';
COMMENT ON COLUMN firmware_update.failure IS 'The kind of its last failure, such as connection-lost.';
COMMENT ON COLUMN firmware_update.tries IS 'How often the package was offered to the device.';
COMMENT ON COLUMN firmware_update.not_before IS 'When a WAITING one goes on.';
COMMENT ON COLUMN firmware_update.command IS 'The newest operation by which it told the device to do something.';
COMMENT ON COLUMN firmware_update.state_ask IS 'The newest operation by which it asked for the firmware object.';
COMMENT ON COLUMN firmware_update.version_ask IS 'The newest operation by which it asked for the version.';
COMMENT ON COLUMN firmware_update.asks IS 'How often it has asked since it came into its state.';
COMMENT ON COLUMN firmware_update.registration_seen IS 'The registration of the device when it asked last: after another one it asks anew.';
COMMENT ON COLUMN firmware_update.cancelled_by IS 'Who asked to cancel it.';

CREATE TABLE firmware_step (
    update_id bigint NOT NULL REFERENCES firmware_update ON DELETE CASCADE,
    number    integer NOT NULL,
    time      timestamptz NOT NULL DEFAULT clock_timestamp(),
    state     text NOT NULL,
    words     text NOT NULL,
    PRIMARY KEY (update_id, number)
);
COMMENT ON TABLE firmware_step IS 'What an update went through, each step with its time and its words.';

CREATE TABLE firmware_download (
    update_id  bigint PRIMARY KEY REFERENCES firmware_update ON DELETE CASCADE,
    reached    bigint NOT NULL DEFAULT 0,
    served     bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    moved_at   timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
COMMENT ON TABLE firmware_download IS 'How far the download of an update has come, by what was served.';
COMMENT ON COLUMN firmware_download.reached IS 'The byte of the package up to which it was served last.';
COMMENT ON COLUMN firmware_download.served IS 'Bytes served in all, those that were asked for again too.';

-- Who serves devices may read packages and write down how far they are, and nothing else.
GRANT USAGE ON SCHEMA public TO flownexus_download, flownexus_firmware;
GRANT SELECT ON firmware, firmware_chunk TO flownexus_download;
GRANT SELECT (id, endpoint_id, firmware_id, token, finished_at) ON firmware_update TO flownexus_download;
GRANT SELECT (id, name) ON endpoint TO flownexus_download;
GRANT SELECT, INSERT, UPDATE ON firmware_download TO flownexus_download;

-- The function that drives updates: it reads what devices told and queues operations, as a user does.
GRANT SELECT ON
    endpoint, resource_type, resource_model, object_model_resource, resource_latest, firmware, firmware_download
    TO flownexus_firmware;
GRANT EXECUTE ON FUNCTION version_order TO flownexus_firmware;
GRANT INSERT ON operation_secret TO flownexus_firmware;
GRANT SELECT (time, id, stored_at) ON resource TO flownexus_firmware;
GRANT SELECT, UPDATE (
    state, since, words, failure, tries, not_before, command, state_ask, version_ask, asks, registration_seen, finished_at)
    ON firmware_update TO flownexus_firmware;
GRANT SELECT, INSERT (update_id, number, state, words) ON firmware_step TO flownexus_firmware;
GRANT SELECT, INSERT (
    endpoint_id, operation_type, path, paths, concerns, value, arguments, repeatable, priority, requested_by,
    idempotency_key, request_fingerprint, not_before, expires_at, has_secret), UPDATE (status, finished_at, reason)
    ON endpoint_operation TO flownexus_firmware;

-- Users.
GRANT SELECT, INSERT (version, file_name, download_url, label, model, version_path, success, size_bytes, sha256, uploaded_by),
    UPDATE (mcuboot, completed_at, retired_at, retired_by) ON firmware TO flownexus_api;
GRANT SELECT, INSERT ON firmware_chunk TO flownexus_api;
GRANT SELECT, INSERT (endpoint_id, firmware_id, token, requested_by), UPDATE (cancelled_by) ON firmware_update TO flownexus_api;
GRANT SELECT ON firmware_step, firmware_download TO flownexus_api;

-- Dashboards and people, but for the secret.
GRANT SELECT (
    id, endpoint_id, firmware_id, state, since, words, failure, tries, not_before, command, state_ask, version_ask, asks,
    registration_seen, requested_by, cancelled_by, created_at, finished_at)
    ON firmware_update TO flownexus_grafana, flownexus_reader;
GRANT SELECT ON firmware_step, firmware_download TO flownexus_grafana, flownexus_reader;
