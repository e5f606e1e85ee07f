-- name: package_of_token(token, endpoint)^
-- What a device is served for its update, where the device is not known to be another one; none once the update has
-- ended or the package is retired.
SELECT u.id AS update_id, f.id AS firmware_id, f.size_bytes AS size, f.sha256
FROM firmware_update u
JOIN firmware f ON f.id = u.firmware_id
JOIN endpoint e ON e.id = u.endpoint_id
WHERE u.token = :token AND (:endpoint::text IS NULL OR e.name = :endpoint) AND u.finished_at IS NULL AND f.completed_at IS NOT NULL AND f.retired_at IS NULL;

-- name: note_download(update_id, reached, served)!
INSERT INTO firmware_download AS d (update_id, reached, served) VALUES (:update_id, :reached, :served)
ON CONFLICT (update_id) DO UPDATE SET reached = excluded.reached, served = d.served + excluded.served, moved_at = clock_timestamp();
