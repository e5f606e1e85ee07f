-- name: lock_mark(source, kind, lane)$
-- Take the mark of (source, kind, lane) for this transaction, making it if it is new.
INSERT INTO delivery_mark (source, kind, lane) VALUES (:source, :kind, :lane)
ON CONFLICT (source, kind, lane) DO UPDATE SET mark = delivery_mark.mark
RETURNING mark;

-- name: move_mark(mark, gap, source, kind, lane)!
UPDATE delivery_mark SET mark = :mark, gaps = gaps + :gap, moved_at = clock_timestamp()
WHERE source = :source AND kind = :kind AND lane = :lane;

-- name: add_dead_letters(kind, source, lane, reasons, items, seqs)!
INSERT INTO dead_letter (kind, reason, item, source, lane, seq)
SELECT :kind, reason, item, :source::uuid, :lane::integer, seq
FROM unnest(:reasons::text[], :items::text[], :seqs::bigint[]) WITH ORDINALITY AS dead(reason, item, seq, place)
ORDER BY place;
