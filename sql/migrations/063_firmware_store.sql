-- The bytes of a package may be in an object store, chunk by chunk: the row of a chunk says where they are.

ALTER TABLE firmware_chunk
    ALTER COLUMN content DROP NOT NULL,
    ADD COLUMN object text,
    ADD CHECK ((content IS NULL) <> (object IS NULL));
COMMENT ON TABLE firmware_chunk IS
    'The content of packages, in pieces of 512 KiB; the last one may be shorter. It is here, or in the object store.';
COMMENT ON COLUMN firmware_chunk.object IS 'The name of the object that has it, in the bucket of FIRMWARE_STORE_BUCKET; null: it is in content.';

ALTER TABLE firmware ADD COLUMN objects_removed_at timestamptz;
COMMENT ON COLUMN firmware.objects_removed_at IS 'When the objects of a retired package were removed from the object store.';

-- What is retired has no objects for long.
GRANT SELECT (id, retired_at, objects_removed_at), UPDATE (objects_removed_at) ON firmware TO flownexus_housekeeping;
GRANT SELECT (firmware_id, object), DELETE ON firmware_chunk TO flownexus_housekeeping;
