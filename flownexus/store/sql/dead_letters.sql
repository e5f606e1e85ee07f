-- name: dead_letters(beginning, kind, settlement, cursor, limit)
-- The newest first, older than the cursor.
SELECT id, kind, reason, item, source, lane, seq, received_at, settlement, settled_at, settled_by,
       replay_asked_by, mended_item, replay_outcome
FROM dead_letter
WHERE (:cursor::bigint IS NULL OR id < :cursor)
  AND settlement IS NOT DISTINCT FROM :settlement::text
  AND (:kind::text IS NULL OR kind = :kind)
  AND (:beginning::text IS NULL OR starts_with(item, :beginning))
ORDER BY id DESC
LIMIT :limit;

-- name: dead_letter(id)^
SELECT id, kind, reason, item, source, lane, seq, received_at, settlement, settled_at, settled_by,
       replay_asked_by, mended_item, replay_outcome
FROM dead_letter
WHERE id = :id;

-- name: settle_dead_letter(id, settlement, settled_by)!
UPDATE dead_letter SET settlement = :settlement, settled_by = :settled_by, settled_at = clock_timestamp()
WHERE id = :id AND settlement IS NULL;

-- name: ask_for_replay(id, asked_by, mended_item)!
UPDATE dead_letter SET replay_asked_by = :asked_by, replay_asked_at = clock_timestamp(), mended_item = :mended_item::text
WHERE id = :id AND settlement IS NULL AND replay_asked_at IS NULL;

-- name: asked_replays(limit)
SELECT id, kind, coalesce(mended_item, item) AS item, replay_asked_by AS asked_by
FROM dead_letter
WHERE replay_asked_at IS NOT NULL AND settlement IS NULL
ORDER BY id
LIMIT :limit;

-- name: settle_replay(id, outcome)!
UPDATE dead_letter SET settlement = 'replayed', settled_by = replay_asked_by, settled_at = clock_timestamp(), replay_outcome = :outcome
WHERE id = :id AND settlement IS NULL;
