-- Firmware may be downloaded at any time and installed only in a window.

ALTER TABLE firmware_update
    DROP CONSTRAINT firmware_update_state_check,
    ADD CONSTRAINT firmware_update_state_check
    CHECK (state IN ('QUEUED', 'ASKING', 'RESETTING', 'OFFERING', 'DOWNLOADING', 'DOWNLOADED', 'INSTALLING', 'DEFERRED',
                     'RETURNED', 'WAITING', 'CANCELLING', 'CONFIRMED', 'FAILED', 'CANCELLED', 'SKIPPED')),
    ADD COLUMN install_in jsonb;
COMMENT ON COLUMN firmware_update.install_in IS
    'The windows in which the device may be told to install, by flownexus/firmware/window.py; null: at any time.';
COMMENT ON COLUMN firmware_update.not_before IS 'When a WAITING or DOWNLOADED one goes on.';

GRANT INSERT (install_in) ON firmware_update TO flownexus_firmware;
GRANT SELECT (install_in) ON firmware_update TO flownexus_grafana, flownexus_reader;
