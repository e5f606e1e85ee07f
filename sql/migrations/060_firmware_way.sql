-- A profile may say by which way firmware packages go to its devices.

ALTER TABLE profile ADD COLUMN firmware_way text CHECK (firmware_way <> '');
COMMENT ON COLUMN profile.firmware_way IS
    'How firmware packages go to its devices: http, coap (both are downloaded) or push (written to /5/0/0); null: as /5/0/8 and /5/0/9 say.';
GRANT SELECT (id, firmware_way) ON profile TO flownexus_firmware;
