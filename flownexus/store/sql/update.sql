-- name: add_update(endpoint, firmware_id, token, requested_by, install_in)^
-- None where the endpoint was never seen, or has an update that is open.
INSERT INTO firmware_update (endpoint_id, firmware_id, token, requested_by, install_in)
SELECT e.id, :firmware_id, :token, :requested_by, :install_in::jsonb FROM endpoint e WHERE e.name = :endpoint
ON CONFLICT (endpoint_id) WHERE finished_at IS NULL DO NOTHING
RETURNING id;

-- name: open_update_of(endpoint)$
SELECT u.id FROM firmware_update u JOIN endpoint e ON e.id = u.endpoint_id WHERE e.name = :endpoint AND u.finished_at IS NULL;

-- name: shown_updates(id, endpoint, open, cursor, limit)
-- The newest first, older than the cursor.
SELECT u.id, e.name AS endpoint, u.firmware_id AS firmware, f.version, f.label, u.state, u.words, u.failure, u.tries,
       f.size_bytes AS size, d.reached, d.served, d.started_at AS download_started_at, d.moved_at AS download_moved_at,
       coalesce(c.id, s.id, v.id) AS operation,
       u.requested_by, u.cancelled_by, u.created_at, u.since, u.not_before, u.finished_at, u.install_in
FROM firmware_update u
JOIN firmware f ON f.id = u.firmware_id
JOIN endpoint e ON e.id = u.endpoint_id
LEFT JOIN firmware_download d ON d.update_id = u.id
LEFT JOIN endpoint_operation c ON c.id = u.command AND c.finished_at IS NULL
LEFT JOIN endpoint_operation s ON s.id = u.state_ask AND s.finished_at IS NULL
LEFT JOIN endpoint_operation v ON v.id = u.version_ask AND v.finished_at IS NULL
WHERE (:id::bigint IS NULL OR u.id = :id)
  AND (:endpoint::text IS NULL OR u.endpoint_id = (SELECT id FROM endpoint WHERE name = :endpoint))
  AND (:open::boolean IS NULL OR (u.finished_at IS NULL) = :open)
  AND (:cursor::bigint IS NULL OR u.id < :cursor)
ORDER BY u.id DESC
LIMIT :limit;

-- name: steps_of_update(id)
SELECT time, state, words FROM firmware_step WHERE update_id = :id ORDER BY number;

-- name: lock_open_updates(id, campaign_id)
-- One, or those of a campaign: they take no step until the transaction ends.
SELECT id FROM firmware_update
WHERE finished_at IS NULL
  AND (id = :id OR id IN (SELECT t.update_id FROM campaign_target t WHERE t.campaign_id = :campaign_id))
ORDER BY id
FOR NO KEY UPDATE;

-- name: uncancelled_updates(ids)
SELECT u.id, u.state, c.path AS command_path, c.status AS command_status
FROM firmware_update u
LEFT JOIN endpoint_operation c ON c.id = u.command
WHERE u.id = ANY (:ids::bigint[]) AND u.finished_at IS NULL AND u.cancelled_by IS NULL;

-- name: ask_to_cancel(ids, cancelled_by)!
UPDATE firmware_update SET cancelled_by = :cancelled_by WHERE id = ANY (:ids::bigint[]);

-- name: try_updates_lock(lock)$
-- Held until the transaction ends. A statement of its own: the next one sees what the last holder has committed.
SELECT pg_try_advisory_xact_lock(:lock::bigint);

-- name: open_updates(after, limit)
-- With all that decides about their next step. A value counts as of when it was stored, by PostgreSQL's clock; one
-- that comes late, as of its own time.
SELECT u.id, e.name AS endpoint, u.state, u.since, u.created_at, u.tries, u.not_before, u.cancelled_by, u.token, u.asks,
       u.registration_seen, clock_timestamp() AS now, f.version, f.success, f.version_path, f.download_url AS uri,
       f.retired_at IS NOT NULL AS retired,
       e.registered AND coalesce(e.expires_at > clock_timestamp(), true) AS registered, e.registration_id, e.secure,
       state.integer_value AS device_state, state.at AS device_state_at,
       result.integer_value AS result, result.at AS result_at,
       version.string_value AS device_version, version.at AS device_version_at,
       (SELECT array_agg(l.integer_value ORDER BY l.resource_instance_id)
        FROM resource_latest l JOIN resource_type t ON t.id = l.resource_type_id
        WHERE l.endpoint_id = u.endpoint_id AND t.object_id = 5 AND t.resource_id = 8 AND l.object_instance_id = 0) AS protocols,
       (SELECT l.integer_value
        FROM resource_latest l JOIN resource_type t ON t.id = l.resource_type_id
        WHERE l.endpoint_id = u.endpoint_id AND t.object_id = 5 AND t.resource_id = 9 AND l.object_instance_id = 0
          AND l.resource_instance_id IS NULL) AS delivery,
       (SELECT p.firmware_way FROM profile p WHERE p.id = e.profile_id) AS way,
       d.moved_at AS served_at,
       c.id AS command, c.path AS command_path, c.status AS command_status, c.last_verdict AS command_verdict,
       c.reason AS command_reason, c.last_attempt_at AS command_sent_at, c.finished_at AS command_ended_at,
       s.id AS state_ask, s.status AS state_ask_status, s.result ->> 'status' AS state_ask_answer,
       s.reason AS state_ask_reason, s.finished_at AS state_ask_ended_at,
       v.id AS version_ask, v.status AS version_ask_status, v.result ->> 'status' AS version_ask_answer,
       v.reason AS version_ask_reason, v.finished_at AS version_ask_ended_at, u.install_in,
       CASE WHEN u.install_in IS NOT NULL THEN (
           SELECT 'campaign ' || held.id || ' is ' || held.status FROM campaign_target t JOIN campaign held ON held.id = t.campaign_id
           WHERE t.endpoint_id = u.endpoint_id AND t.update_id = u.id AND held.status IN ('PAUSED', 'STOPPED')
           LIMIT 1) END AS held_back,
       CASE WHEN u.install_in IS NOT NULL THEN (
           SELECT l.string_value FROM resource_latest l JOIN resource_type t ON t.id = l.resource_type_id
           WHERE l.endpoint_id = u.endpoint_id AND t.object_id = 3 AND t.resource_id = 15 AND l.object_instance_id = 0
           ORDER BY l.time DESC LIMIT 1) END AS device_zone,
       CASE WHEN u.install_in IS NOT NULL THEN (
           SELECT l.string_value FROM resource_latest l JOIN resource_type t ON t.id = l.resource_type_id
           WHERE l.endpoint_id = u.endpoint_id AND t.object_id = 3 AND t.resource_id = 14 AND l.object_instance_id = 0
           ORDER BY l.time DESC LIMIT 1) END AS device_offset
FROM (SELECT * FROM firmware_update
      WHERE finished_at IS NULL AND id > :after
      ORDER BY id
      LIMIT :limit
      FOR NO KEY UPDATE SKIP LOCKED) AS u
JOIN firmware f ON f.id = u.firmware_id
JOIN endpoint e ON e.id = u.endpoint_id
LEFT JOIN firmware_download d ON d.update_id = u.id
LEFT JOIN endpoint_operation c ON c.id = u.command
LEFT JOIN endpoint_operation s ON s.id = u.state_ask
LEFT JOIN endpoint_operation v ON v.id = u.version_ask
LEFT JOIN LATERAL (
    SELECT l.integer_value, CASE WHEN r.stored_at < l.time + interval '30 s' THEN r.stored_at ELSE l.time END AS at
    FROM resource_latest l
    JOIN resource_type t ON t.id = l.resource_type_id
    LEFT JOIN resource r ON r.time = l.time AND r.id = l.resource_id
    WHERE l.endpoint_id = u.endpoint_id AND t.object_id = 5 AND t.resource_id = 3 AND l.object_instance_id = 0
      AND l.resource_instance_id IS NULL) AS state ON true
LEFT JOIN LATERAL (
    SELECT l.integer_value, CASE WHEN r.stored_at < l.time + interval '30 s' THEN r.stored_at ELSE l.time END AS at
    FROM resource_latest l
    JOIN resource_type t ON t.id = l.resource_type_id
    LEFT JOIN resource r ON r.time = l.time AND r.id = l.resource_id
    WHERE l.endpoint_id = u.endpoint_id AND t.object_id = 5 AND t.resource_id = 5 AND l.object_instance_id = 0
      AND l.resource_instance_id IS NULL) AS result ON true
LEFT JOIN LATERAL (
    SELECT l.string_value, CASE WHEN r.stored_at < l.time + interval '30 s' THEN r.stored_at ELSE l.time END AS at
    FROM resource_latest l
    JOIN resource_type t ON t.id = l.resource_type_id
    LEFT JOIN resource r ON r.time = l.time AND r.id = l.resource_id
    WHERE l.endpoint_id = u.endpoint_id AND t.object_id = split_part(f.version_path, '/', 2)::integer
      AND t.resource_id = split_part(f.version_path, '/', 4)::integer
      AND l.object_instance_id = split_part(f.version_path, '/', 3)::integer
      AND l.resource_instance_id IS NULL) AS version ON true
ORDER BY u.id;

-- name: take_step(id, state, words, failure, is_try, wait, command, state_ask, version_ask, asked, registration_id, ended)!
UPDATE firmware_update
SET since = CASE WHEN state = :state AND :words::text IS NULL THEN since ELSE clock_timestamp() END,
    asks = CASE WHEN state = :state AND :words::text IS NULL THEN asks ELSE 0 END + :asked::integer,
    state = :state, words = coalesce(:words::text, words), failure = coalesce(:failure::text, failure),
    tries = tries + :is_try::integer,
    not_before = CASE WHEN state = :state AND :words::text IS NULL THEN not_before
                      ELSE clock_timestamp() + make_interval(secs => :wait::double precision) END,
    command = coalesce(:command::bigint, command), state_ask = coalesce(:state_ask::bigint, state_ask),
    version_ask = coalesce(:version_ask::bigint, version_ask), registration_seen = :registration_id,
    finished_at = CASE WHEN :ended THEN clock_timestamp() END
WHERE id = :id;

-- name: note_step(id, state, words)!
INSERT INTO firmware_step (update_id, number, state, words)
SELECT :id, coalesce(max(number), 0) + 1, :state, :words FROM firmware_step WHERE update_id = :id;

-- name: drop_operations(ids)!
-- What an update has queued and needs no more; what is on its way to the device goes its way.
UPDATE endpoint_operation SET status = 'CANCELLED', finished_at = clock_timestamp(), reason = 'its firmware update went on'
WHERE id = ANY (:ids::bigint[]) AND coalesce(status = 'QUEUED', false);

-- name: let_expire(id)!
-- What is on its way to the device, and must not go out again.
UPDATE endpoint_operation SET expires_at = clock_timestamp() WHERE id = :id AND coalesce(status = 'SENDING', false);
