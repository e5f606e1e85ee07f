-- name: add_campaign(name, firmware_id, rules, seed, starts_at, ends_at, filter, tree, model, from_versions, requested_by)$
INSERT INTO campaign (name, firmware_id, rules, seed, starts_at, ends_at, filter, tree, model, from_versions, requested_by)
VALUES (:name, :firmware_id, :rules, :seed, :starts_at::timestamptz, :ends_at::timestamptz, :filter::text, :tree::jsonb,
        :model::text, :from_versions::text[], :requested_by)
RETURNING id;

-- name: unknown_endpoints(names)
SELECT name FROM unnest(:names::text[]) AS wanted(name)
WHERE NOT EXISTS (SELECT FROM endpoint e WHERE e.name = wanted.name) ORDER BY name LIMIT 10;

-- name: add_targets(campaign_id, names, joining)!
-- In an order that is drawn by the seed, after those that are there, in the last wave. Of devices that are named, those
-- that do not fit are left out with the reason; of all that there are, those with a firmware object that fit are taken.
-- One that a newer campaign has joins no older one.
WITH candidate AS (
    SELECT e.id, e.name, c.seed,
           CASE WHEN c.model IS NOT NULL AND device_text(e.id, 1) IS DISTINCT FROM c.model
                THEN 'its model is ' || coalesce(device_text(e.id, 1), 'not known') || ', not ' || c.model
                WHEN c.from_versions IS NOT NULL AND (device_text(e.id, 3) = ANY (c.from_versions)) IS NOT TRUE
                THEN 'its version is ' || coalesce(device_text(e.id, 3), 'not known') || ', none of '
                     || array_to_string(c.from_versions, ', ')
           END AS left_out
    FROM campaign c
    CROSS JOIN endpoint e
    WHERE c.id = :campaign_id
      AND CASE WHEN :names::text[] IS NULL THEN e.objects && ARRAY['/5', '/5/0'] ELSE e.name = ANY (:names::text[]) END
      AND NOT EXISTS (SELECT FROM campaign_target own WHERE own.campaign_id = c.id AND own.endpoint_id = e.id)
      AND NOT EXISTS (SELECT FROM campaign_target t JOIN campaign newer ON newer.id = t.campaign_id
                      WHERE t.endpoint_id = e.id AND t.left_out IS NULL AND newer.id > c.id
                        AND newer.status NOT IN ('PLANNED', 'CANCELLED'))
      AND CASE WHEN c.tree IS NULL THEN true ELSE endpoint_matches(e, c.tree) END
), own AS (
    SELECT coalesce(max(wave), 1) AS wave, coalesce(max(place), 0) AS place FROM campaign_target WHERE campaign_id = :campaign_id
)
INSERT INTO campaign_target (campaign_id, endpoint_id, wave, place, left_out, joined_at)
SELECT :campaign_id, id, own.wave, own.place + row_number() OVER (ORDER BY left_out IS NOT NULL, md5(seed::text || name), name),
       left_out, CASE WHEN :joining THEN clock_timestamp() END
FROM candidate, own
WHERE :names::text[] IS NOT NULL OR left_out IS NULL;

-- name: looked_for_joining(id)!
UPDATE campaign SET joined_at = clock_timestamp() WHERE id = :id;

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
       c.wave_opened_at, c.wave_succeeded_at, c.starts_at, c.ends_at, c.filter, c.model, c.from_versions, c.requested_by,
       c.created_at, c.joined_at, clock_timestamp() AS now,
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
    INSERT INTO firmware_update (endpoint_id, firmware_id, token, requested_by, install_in)
    SELECT chosen.endpoint_id, c.firmware_id, given.token, c.requested_by,
           CASE WHEN jsonb_array_length(c.rules -> 'windows') > 0
                THEN jsonb_build_object('windows', c.rules -> 'windows', 'time_zone', c.rules -> 'time_zone') END
    FROM chosen
    JOIN unnest(:tokens::text[]) WITH ORDINALITY AS given(token, place) ON given.place = chosen.place
    JOIN campaign c ON c.id = :id
    ON CONFLICT (endpoint_id) WHERE finished_at IS NULL DO NOTHING
    RETURNING id, endpoint_id
)
UPDATE campaign_target t SET update_id = begun.id, started_at = clock_timestamp()
FROM begun
WHERE t.campaign_id = :id AND t.endpoint_id = begun.endpoint_id;

-- name: begin_failed_again(id)^
-- How many begin again, and how many do not, since a newer campaign has them: to that of an older one they would go back.
WITH settled AS (
    UPDATE campaign_target t SET update_id = CASE WHEN newer.id IS NULL THEN NULL ELSE t.update_id END,
                                 left_out = 'superseded by campaign ' || newer.id
    FROM firmware_update u
    LEFT JOIN LATERAL (
        SELECT max(c.id) AS id FROM campaign_target other JOIN campaign c ON c.id = other.campaign_id
        WHERE other.endpoint_id = u.endpoint_id AND other.left_out IS NULL AND c.id > :id
          AND c.status NOT IN ('PLANNED', 'CANCELLED')) AS newer ON true
    WHERE t.campaign_id = :id AND t.left_out IS NULL AND u.id = t.update_id AND u.state = 'FAILED'
    RETURNING t.left_out
)
SELECT count(*) FILTER (WHERE left_out IS NULL), count(left_out) FROM settled;
