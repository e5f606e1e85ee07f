-- name: health()
-- Of values the newest two thousand of five minutes, by the primary key: however many rows there are, these are few.
SELECT statement_timestamp() AS now,
       (SELECT count(*) FROM endpoint) AS devices,
       (SELECT count(*) FROM endpoint WHERE registered AND coalesce(expires_at > statement_timestamp(), true)) AS registered,
       lag.median AS lag_median_s, lag.high AS lag_99_s, lag.count AS values,
       (SELECT max(moved_at) FROM delivery_mark) AS last_batch_at,
       (SELECT coalesce(sum(gaps), 0)::bigint FROM delivery_mark) AS missing_numbers,
       (SELECT count(*) FROM endpoint_operation WHERE status = 'QUEUED') AS waiting,
       (SELECT count(*) FROM endpoint_operation WHERE status = 'SENDING') AS under_way,
       (SELECT min(o.created_at) FROM endpoint_operation o JOIN endpoint e ON e.id = o.endpoint_id
        WHERE o.status = 'QUEUED' AND e.registered) AS oldest_waiting_at,
       (SELECT count(*) FROM endpoint_operation
        WHERE finished_at > statement_timestamp() - interval '1 hour' AND status = 'FAILED') AS failed,
       (SELECT count(*) FROM (SELECT FROM dead_letter WHERE settlement IS NULL LIMIT 1000) AS newest) AS dead_letters,
       (SELECT count(*) FROM firmware_update WHERE finished_at IS NULL) AS updates
FROM (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS median,
             percentile_cont(0.99) WITHIN GROUP (ORDER BY seconds) AS high, count(*) AS count
      FROM (SELECT extract(epoch FROM stored_at - time)::double precision AS seconds
            FROM resource
            WHERE time > statement_timestamp() - interval '5 minutes' AND time <= statement_timestamp()
            ORDER BY time DESC, id DESC
            LIMIT 2000) AS newest) AS lag;
