-- As in 031, but sums are of 2^-40 of the values, as a roll-up's are: great numbers of one device, such as a DBL_MAX for no
-- reading, made each series with two of them in a bucket fail.
CREATE OR REPLACE FUNCTION series(
    endpoints text[], paths text[], from_time timestamptz, to_time timestamptz, buckets integer DEFAULT 300
) RETURNS TABLE (
    "time" timestamptz,
    endpoint text,
    path text,
    minimum double precision,
    maximum double precision,
    mean double precision,
    last double precision,
    count bigint
)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH asked AS (
        SELECT CASE WHEN hourly
                    THEN make_interval(
                        hours => ceil(extract(epoch FROM (to_time - hour_before) / greatest(buckets, 1)) / 3600)::integer)
                    ELSE width END AS width,
               CASE WHEN hourly THEN hour_before ELSE from_time END AS origin,
               CASE WHEN hourly THEN first_hour ELSE to_time END AS hours_from,
               CASE WHEN hourly THEN greatest(first_hour, last_hour) ELSE to_time END AS hours_to
        FROM (
            SELECT (to_time - from_time) / greatest(buckets, 1) AS width,
                   (to_time - from_time) / greatest(buckets, 1) >= interval '1 hour' AS hourly,
                   date_trunc('hour', from_time, 'UTC') AS hour_before,
                   date_trunc('hour', from_time + interval '1 hour' - interval '1 microsecond', 'UTC') AS first_hour,
                   date_trunc('hour', least(to_time, s.rolled_until - interval '1 minute'), 'UTC') AS last_hour
            FROM roll_up_state s
        ) AS hours
    )
    SELECT greatest(date_bin(a.width, v.time, a.origin), from_time), e.name, p.path, min(v.minimum), max(v.maximum),
           greatest(min(s.mean), least(max(s.mean), sum(s.mean * v.count) / sum(v.count))) * 2::double precision ^ 40,
           (array_agg(v.last ORDER BY v.last_at DESC))[1], sum(v.count)::bigint
    FROM (SELECT DISTINCT unnest(endpoints)) AS n (name)
    JOIN endpoint e ON e.name = n.name
    CROSS JOIN (SELECT DISTINCT unnest(paths)) AS p (path)
    JOIN resource_type t
        ON t.object_id = split_part(p.path, '/', 2)::integer AND t.resource_id = split_part(p.path, '/', 4)::integer
    CROSS JOIN asked a
    CROSS JOIN LATERAL (
        SELECT r.time, r.time AS last_at, r.number AS minimum, r.number AS maximum,
               r.number AS mean, r.number AS last, 1::bigint AS count
        FROM (
            SELECT r.time,
                   coalesce(r.float_value, r.integer_value::double precision, r.unsigned_value::double precision,
                            r.boolean_value::integer::double precision) AS number
            FROM resource r
            WHERE r.endpoint_id = e.id
              AND r.resource_type_id = t.id
              AND r.object_instance_id = split_part(p.path, '/', 3)::integer
              AND r.resource_instance_id IS NOT DISTINCT FROM nullif(split_part(p.path, '/', 5), '')::integer
              AND r.time >= from_time AND r.time < to_time AND r.time < a.hours_from
            UNION ALL
            SELECT r.time,
                   coalesce(r.float_value, r.integer_value::double precision, r.unsigned_value::double precision,
                            r.boolean_value::integer::double precision)
            FROM resource r
            WHERE r.endpoint_id = e.id
              AND r.resource_type_id = t.id
              AND r.object_instance_id = split_part(p.path, '/', 3)::integer
              AND r.resource_instance_id IS NOT DISTINCT FROM nullif(split_part(p.path, '/', 5), '')::integer
              AND r.time >= from_time AND r.time < to_time AND r.time >= a.hours_to
        ) AS r
        WHERE r.number IS NOT NULL
        UNION ALL
        SELECT h.time, h.last_at, h.minimum, h.maximum, h.mean, h.last, h.count
        FROM resource_hourly h
        WHERE h.endpoint_id = e.id
          AND h.resource_type_id = t.id
          AND h.object_instance_id = split_part(p.path, '/', 3)::integer
          AND h.resource_instance_id IS NOT DISTINCT FROM nullif(split_part(p.path, '/', 5), '')::integer
          AND h.time >= from_time AND h.time < to_time AND h.time >= a.hours_from AND h.time < a.hours_to
    ) v
    CROSS JOIN LATERAL (
        SELECT CASE WHEN abs(v.mean) < 1e-200 THEN 0 ELSE v.mean / 2::double precision ^ 40 END AS mean
    ) s
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3;
END;
