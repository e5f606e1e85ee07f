-- In which content format a device takes what is written to it.

ALTER TABLE endpoint ADD COLUMN content_formats integer[], ADD COLUMN write_format text;
COMMENT ON COLUMN endpoint.content_formats IS
    'Content formats that the device says it supports: the ct of its root link (OMA LwM2M Core 1.1, 6.4.3), as numbers of CoAP.';
COMMENT ON COLUMN endpoint.write_format IS 'The format in which it took a write after it had refused another one (4.15).';

ALTER TABLE endpoint_operation ADD COLUMN formats_refused text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN endpoint_operation.formats_refused IS 'Formats in which this write was answered 4.15: it goes out once in each other.';
