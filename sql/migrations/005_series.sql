-- What dashboards and charts read: a series in at most so many buckets, and the indexes that they need.

CREATE FUNCTION series(
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
    SELECT date_bin((to_time - from_time) / greatest(buckets, 1), v.time, from_time),
           e.name, p.path, min(v.number), max(v.number), avg(v.number),
           (array_agg(v.number ORDER BY v.time DESC))[1], count(*)
    FROM (SELECT DISTINCT unnest(endpoints)) AS n (name)
    JOIN endpoint e ON e.name = n.name
    CROSS JOIN (SELECT DISTINCT unnest(paths)) AS p (path)
    JOIN resource_type t
        ON t.object_id = split_part(p.path, '/', 2)::integer AND t.resource_id = split_part(p.path, '/', 4)::integer
    CROSS JOIN LATERAL (
        SELECT r.time,
               coalesce(r.float_value, r.integer_value::double precision, r.unsigned_value::double precision,
                        r.boolean_value::integer::double precision) AS number
        FROM resource r
        WHERE r.endpoint_id = e.id
          AND r.resource_type_id = t.id
          AND r.object_instance_id = split_part(p.path, '/', 3)::integer
          AND r.resource_instance_id IS NOT DISTINCT FROM nullif(split_part(p.path, '/', 5), '')::integer
          AND r.time >= from_time AND r.time < to_time
    ) v
    WHERE v.number IS NOT NULL
    GROUP BY 1, 2, 3
    ORDER BY 1, 2, 3;
END;
COMMENT ON FUNCTION series IS
    'Numeric values of resources over time, in at most so many buckets each: paths such as /3303/0/5700.';
REVOKE EXECUTE ON FUNCTION series FROM PUBLIC;
GRANT EXECUTE ON FUNCTION series TO flownexus_grafana, flownexus_functions;

-- Registrations of the whole fleet over a time, among the many events that are composites and reads.
CREATE INDEX event_presence ON event (time) WHERE event_type IN ('registered', 'updated', 'unregistered');
-- Operations and dead letters of a time: their rows lie in that order, so a few kilobytes tell where.
CREATE INDEX endpoint_operation_created ON endpoint_operation USING brin (created_at) WITH (autosummarize = on);
CREATE INDEX dead_letter_received ON dead_letter (received_at);
