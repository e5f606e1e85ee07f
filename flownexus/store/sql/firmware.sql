-- name: add_package(version, file_name, label, model, version_path, success, uri, size, sha256, uploaded_by)^
-- None where there is one of this version and file name.
INSERT INTO firmware (version, file_name, label, model, version_path, success, download_url, size_bytes, sha256, uploaded_by)
VALUES (:version, :file_name, :label, :model, :version_path, :success, :uri::text, :size, :sha256, :uploaded_by)
ON CONFLICT (version, file_name) DO NOTHING
RETURNING id, version, file_name, label, model, version_path, success, download_url AS uri, size_bytes AS size, sha256, mcuboot, uploaded_by,
          created_at, completed_at, retired_at, retired_by;

-- name: package_of_name(version, file_name)^
SELECT id, version, file_name, label, model, version_path, success, download_url AS uri, size_bytes AS size, sha256, mcuboot, uploaded_by,
       created_at, completed_at, retired_at, retired_by
FROM firmware WHERE version = :version AND file_name = :file_name;

-- name: package(id)^
SELECT id, version, file_name, label, model, version_path, success, download_url AS uri, size_bytes AS size, sha256, mcuboot, uploaded_by,
       created_at, completed_at, retired_at, retired_by
FROM firmware WHERE id = :id;

-- name: packages(cursor, limit)
-- The newest first, older than the cursor.
SELECT id, version, file_name, label, model, version_path, success, download_url AS uri, size_bytes AS size, sha256, mcuboot, uploaded_by,
       created_at, completed_at, retired_at, retired_by
FROM firmware
WHERE size_bytes IS NOT NULL AND (:cursor::integer IS NULL OR id < :cursor)
ORDER BY id DESC
LIMIT :limit;

-- name: has_chunk(id, number)$
SELECT EXISTS (SELECT FROM firmware_chunk WHERE firmware_id = :id AND number = :number);

-- name: add_chunk(id, number, content, object)!
INSERT INTO firmware_chunk (firmware_id, number, content, object) VALUES (:id, :number, :content::bytea, :object::text)
ON CONFLICT (firmware_id, number) DO NOTHING;

-- name: missing_chunks(id, count)
SELECT number FROM generate_series(0, :count::integer - 1) AS number
WHERE NOT EXISTS (SELECT FROM firmware_chunk c WHERE c.firmware_id = :id AND c.number = number.number)
ORDER BY number;

-- name: chunk_part(id, number, start, length)^
-- A part of a chunk: of what is stored as it came, the rest is not read. Or the object that has it.
SELECT substring(c.content FROM :start + 1 FOR :length), c.object, f.size_bytes
FROM firmware_chunk c JOIN firmware f ON f.id = c.firmware_id
WHERE c.firmware_id = :id AND c.number = :number;

-- name: complete_package(id, mcuboot)!
UPDATE firmware SET completed_at = clock_timestamp(), mcuboot = :mcuboot WHERE id = :id AND completed_at IS NULL;

-- name: retire_package(id, retired_by)!
UPDATE firmware SET retired_at = clock_timestamp(), retired_by = :retired_by WHERE id = :id AND retired_at IS NULL;

-- name: packages_to_empty(after, limit)
-- Retired for so many seconds: whoever was at it by then has ended.
SELECT id FROM firmware
WHERE retired_at < clock_timestamp() - make_interval(secs => :after) AND objects_removed_at IS NULL
ORDER BY id
LIMIT :limit;

-- name: forget_objects(id)!
DELETE FROM firmware_chunk WHERE firmware_id = :id AND object IS NOT NULL;

-- name: note_objects_removed(id)!
UPDATE firmware SET objects_removed_at = clock_timestamp() WHERE id = :id;
