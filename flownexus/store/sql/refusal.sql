-- name: note_refusals(endpoints, addresses, causes, counts, details)!
INSERT INTO registration_refusal AS known (endpoint, address, cause, count, detail)
SELECT endpoint, address, cause, sum(count), max(detail)
FROM unnest(:endpoints::text[], :addresses::text[], :causes::text[], :counts::bigint[], :details::text[])
     AS told(endpoint, address, cause, count, detail)
GROUP BY endpoint, address, cause
ORDER BY endpoint, address, cause
ON CONFLICT (endpoint, address, cause) DO UPDATE SET
    count = known.count + excluded.count, detail = coalesce(excluded.detail, known.detail), last_at = clock_timestamp();

-- name: forget_refusals(keep)!
DELETE FROM registration_refusal
WHERE id IN (SELECT id FROM registration_refusal ORDER BY last_at DESC, id DESC OFFSET :keep FOR UPDATE SKIP LOCKED);

-- name: refusals(endpoint, before, before_id, limit)
SELECT id, nullif(endpoint, '') AS endpoint, nullif(address, '') AS address, cause, detail, count, first_at, last_at
FROM registration_refusal
WHERE (:endpoint::text IS NULL OR endpoint = :endpoint)
  AND (:before::timestamptz IS NULL OR (last_at, id) < (:before, :before_id::bigint))
ORDER BY last_at DESC, id DESC
LIMIT :limit;
