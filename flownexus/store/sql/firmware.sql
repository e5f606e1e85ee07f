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

-- name: add_chunk(id, number, content)!
INSERT INTO firmware_chunk (firmware_id, number, content) VALUES (:id, :number, :content)
ON CONFLICT (firmware_id, number) DO NOTHING;

-- name: missing_chunks(id, count)
SELECT number FROM generate_series(0, :count::integer - 1) AS number
WHERE NOT EXISTS (SELECT FROM firmware_chunk c WHERE c.firmware_id = :id AND c.number = number.number)
ORDER BY number;

-- name: chunk_part(id, number, start, length)$
-- A part of a chunk: of what is stored as it came, the rest is not read.
SELECT substring(content FROM :start + 1 FOR :length) FROM firmware_chunk WHERE firmware_id = :id AND number = :number;

-- name: complete_package(id, mcuboot)!
UPDATE firmware SET completed_at = clock_timestamp(), mcuboot = :mcuboot WHERE id = :id AND completed_at IS NULL;

-- name: retire_package(id, retired_by)!
UPDATE firmware SET retired_at = clock_timestamp(), retired_by = :retired_by WHERE id = :id AND retired_at IS NULL;
