-- name: note_refusals(endpoints, addresses, causes, identities, counts, details)!
-- No two may be of one row.
INSERT INTO registration_refusal AS known (endpoint, address, cause, identity, count, detail)
SELECT *
FROM unnest(:endpoints::text[], :addresses::text[], :causes::text[], :identities::text[], :counts::bigint[],
            :details::text[])
ON CONFLICT (endpoint, address, cause, identity) DO UPDATE SET
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
