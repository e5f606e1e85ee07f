-- name: add_campaign(name, firmware_id, rules, seed, starts_at, ends_at, requested_by)$
INSERT INTO campaign (name, firmware_id, rules, seed, starts_at, ends_at, requested_by)
VALUES (:name, :firmware_id, :rules, :seed, :starts_at::timestamptz, :ends_at::timestamptz, :requested_by)
RETURNING id;

-- name: unknown_endpoints(names)
SELECT name FROM unnest(:names::text[]) AS wanted(name)
WHERE NOT EXISTS (SELECT FROM endpoint e WHERE e.name = wanted.name) ORDER BY name LIMIT 10;

-- name: add_targets(campaign_id, seed, names, model, from_versions)!
-- In an order that is drawn by the seed, all in the first wave. Of devices that are named, those that do not fit are
-- left out with the reason; of all that there are, those with a firmware object that fit are taken.
WITH candidate AS (
    SELECT e.id, e.name,
           CASE WHEN :model::text IS NOT NULL AND m.value IS DISTINCT FROM :model::text
                THEN 'its model is ' || coalesce(m.value, 'not known') || ', not ' || :model::text
                WHEN :from_versions::text[] IS NOT NULL AND (v.value = ANY (:from_versions::text[])) IS NOT TRUE
                THEN 'its version is ' || coalesce(v.value, 'not known') || ', none of ' || array_to_string(:from_versions::text[], ', ')
           END AS left_out
    FROM endpoint e
    LEFT JOIN telemetry_latest m ON m.endpoint = e.name AND m.object_id = 3 AND m.object_instance_id = 0 AND m.resource_id = 1
    LEFT JOIN telemetry_latest v ON v.endpoint = e.name AND v.object_id = 3 AND v.object_instance_id = 0 AND v.resource_id = 3
    WHERE CASE WHEN :names::text[] IS NULL THEN e.objects && ARRAY['/5', '/5/0'] ELSE e.name = ANY (:names::text[]) END
)
INSERT INTO campaign_target (campaign_id, endpoint_id, wave, place, left_out)
SELECT :campaign_id, id, 1, row_number() OVER (ORDER BY left_out IS NOT NULL, md5(:seed::text || name), name), left_out
FROM candidate
WHERE :names::text[] IS NOT NULL OR left_out IS NULL;

-- name: spread_targets(campaign_id, bounds, first)!
-- Into waves: `bounds` are the last places of all but the last wave.
UPDATE campaign_target SET wave = 1 + (SELECT count(*) FROM unnest(:bounds::integer[]) AS bound WHERE bound < place)
WHERE campaign_id = :campaign_id AND left_out IS NULL AND place > :first;

-- name: supersede_older(campaign_id)!
-- What older campaigns have not begun with devices of this one never begins.
UPDATE campaign_target t SET left_out = 'superseded by campaign ' || :campaign_id::text
FROM campaign c
WHERE c.id = t.campaign_id AND c.id < :campaign_id AND c.status NOT IN ('CANCELLED', 'FINISHED')
  AND t.update_id IS NULL AND t.left_out IS NULL
  AND t.endpoint_id IN (SELECT own.endpoint_id FROM campaign_target own
                        WHERE own.campaign_id = :campaign_id AND own.left_out IS NULL);

-- name: campaigns(id, cursor, limit)
-- The newest first, older than the cursor.
SELECT c.id, c.name, c.firmware_id AS firmware, f.version, f.label, c.status, c.words, c.rules, c.seed, c.wave,
       c.wave_opened_at, c.wave_succeeded_at, c.starts_at, c.ends_at, c.requested_by, c.created_at,
       clock_timestamp() AS now,
       (SELECT count(*) FROM campaign_target t WHERE t.campaign_id = c.id AND t.left_out IS NOT NULL) AS left_out,
       (SELECT count(*) FROM campaign_target t
        WHERE t.campaign_id = c.id AND t.started_at > clock_timestamp() - interval '1 minute') AS started_lately
FROM campaign c
JOIN firmware f ON f.id = c.firmware_id
WHERE (:id::bigint IS NULL OR c.id = :id) AND (:cursor::bigint IS NULL OR c.id < :cursor)
ORDER BY c.id DESC
LIMIT :limit;

-- name: waves_of_campaign(id)
SELECT t.wave::integer AS wave, count(*) FILTER (WHERE u.id IS NULL) AS waiting,
       count(*) FILTER (WHERE u.id IS NOT NULL AND u.finished_at IS NULL) AS open,
       count(*) FILTER (WHERE u.state IN ('CONFIRMED', 'SKIPPED')) AS succeeded,
       count(*) FILTER (WHERE u.state = 'FAILED') AS failed,
       count(*) FILTER (WHERE u.state = 'CANCELLED') AS cancelled
FROM campaign_target t
LEFT JOIN firmware_update u ON u.id = t.update_id
WHERE t.campaign_id = :id AND t.left_out IS NULL
GROUP BY t.wave
ORDER BY t.wave;

-- name: ends_of_campaign(id)
-- Of updates that have ended since failures are counted.
SELECT u.state, u.failure, count(*)
FROM campaign c
JOIN campaign_target t ON t.campaign_id = c.id AND t.left_out IS NULL
JOIN firmware_update u ON u.id = t.update_id
WHERE c.id = :id AND u.state IN ('CONFIRMED', 'FAILED') AND u.finished_at > c.counted_from
GROUP BY u.state, u.failure;

-- name: steps_of_campaign(id)
SELECT time, by, words FROM campaign_step WHERE campaign_id = :id ORDER BY number;

-- name: targets_of_campaign(id, state, cursor, limit)
-- By their place in the order that was drawn.
SELECT t.place, e.name AS endpoint, t.wave,
       CASE WHEN t.left_out IS NOT NULL THEN 'LEFT_OUT' ELSE coalesce(u.state, 'WAITING_TO_BEGIN') END AS state,
       coalesce(t.left_out, u.words) AS words, u.failure, t.update_id AS update
FROM campaign_target t
JOIN endpoint e ON e.id = t.endpoint_id
LEFT JOIN firmware_update u ON u.id = t.update_id
WHERE t.campaign_id = :id AND (:cursor::integer IS NULL OR t.place > :cursor)
  AND (:state::text IS NULL
       OR :state = CASE WHEN t.left_out IS NOT NULL THEN 'LEFT_OUT' ELSE coalesce(u.state, 'WAITING_TO_BEGIN') END)
ORDER BY t.place
LIMIT :limit;

-- name: running_campaigns()
SELECT id FROM campaign WHERE status = 'RUNNING' ORDER BY id;

-- name: lock_campaign(id)$
SELECT status FROM campaign WHERE id = :id FOR NO KEY UPDATE;

-- name: move_campaign(id, status, words, wave, wave_opens, wave_succeeds)!
UPDATE campaign SET
    status = :status, words = coalesce(:words::text, words), wave = :wave,
    wave_opened_at = CASE WHEN :wave_opens THEN clock_timestamp() ELSE wave_opened_at END,
    wave_succeeded_at = CASE WHEN :wave_opens THEN NULL WHEN :wave_succeeds THEN clock_timestamp() ELSE wave_succeeded_at END
WHERE id = :id;

-- name: count_failures_anew(id)!
UPDATE campaign SET counted_from = clock_timestamp() WHERE id = :id;

-- name: note_campaign_step(id, by, words)!
INSERT INTO campaign_step (campaign_id, number, by, words)
SELECT :id, coalesce(max(number), 0) + 1, :by::text, :words FROM campaign_step WHERE campaign_id = :id;

-- name: start_targets(id, wave, tokens)!
-- As many as there are tokens, by their place; a device with an update of somebody else's waits for its end.
WITH chosen AS (
    SELECT t.endpoint_id, row_number() OVER (ORDER BY t.place) AS place
    FROM campaign_target t
    WHERE t.campaign_id = :id AND t.update_id IS NULL AND t.left_out IS NULL AND t.wave <= :wave
      AND NOT EXISTS (SELECT FROM firmware_update o WHERE o.endpoint_id = t.endpoint_id AND o.finished_at IS NULL)
    ORDER BY t.place
    LIMIT cardinality(:tokens::text[])
), begun AS (
    INSERT INTO firmware_update (endpoint_id, firmware_id, token, requested_by)
    SELECT chosen.endpoint_id, c.firmware_id, (:tokens::text[])[chosen.place::integer], c.requested_by
    FROM chosen
    JOIN campaign c ON c.id = :id
    ON CONFLICT (endpoint_id) WHERE finished_at IS NULL DO NOTHING
    RETURNING id, endpoint_id
)
UPDATE campaign_target t SET update_id = begun.id, started_at = clock_timestamp()
FROM begun
WHERE t.campaign_id = :id AND t.endpoint_id = begun.endpoint_id;

-- name: begin_failed_again(id)!
UPDATE campaign_target t SET update_id = NULL
FROM firmware_update u
WHERE t.campaign_id = :id AND u.id = t.update_id AND u.state = 'FAILED';

-- name: cancel_open_of_campaign(id, cancelled_by, not_taken_back)!
UPDATE firmware_update u SET cancelled_by = :cancelled_by
FROM campaign_target t
WHERE t.campaign_id = :id AND u.id = t.update_id AND u.finished_at IS NULL AND u.cancelled_by IS NULL
  AND u.state <> ALL (:not_taken_back::text[]);
