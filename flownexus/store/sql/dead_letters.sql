-- name: dead_letters(beginning, kind, settlement, cursor, limit)
-- The newest first, older than the cursor.
SELECT id, kind, reason, item, source, lane, seq, received_at, settlement, settled_at, settled_by
FROM dead_letter
WHERE (:cursor::bigint IS NULL OR id < :cursor)
  AND settlement IS NOT DISTINCT FROM :settlement::text
  AND (:kind::text IS NULL OR kind = :kind)
  AND (:beginning::text IS NULL OR starts_with(item, :beginning))
ORDER BY id DESC
LIMIT :limit;

-- name: dead_letter(id)^
SELECT id, kind, reason, item, source, lane, seq, received_at, settlement, settled_at, settled_by
FROM dead_letter
WHERE id = :id;

-- name: settle_dead_letter(id, settlement, settled_by)!
UPDATE dead_letter SET settlement = :settlement, settled_by = :settled_by, settled_at = clock_timestamp()
WHERE id = :id AND settlement IS NULL;
