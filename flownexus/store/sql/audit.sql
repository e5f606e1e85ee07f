-- name: append_audit(by, action, endpoint, detail)$
SELECT append_audit(:by, :action, :endpoint::text, :detail::jsonb);

-- name: audit_entries(endpoint, cursor, limit)
-- The newest first, older than the cursor.
SELECT id, entry ->> 'at' AS at, entry ->> 'by' AS by, entry ->> 'action' AS action, endpoint, entry -> 'detail' AS detail
FROM audit_entry
WHERE (:endpoint::text IS NULL OR endpoint = :endpoint) AND (:cursor::bigint IS NULL OR id < :cursor)
ORDER BY id DESC
LIMIT :limit;

-- name: audit_chain(after, limit)
SELECT id, entry::text AS text, hash FROM audit_entry WHERE id > :after ORDER BY id LIMIT :limit;
