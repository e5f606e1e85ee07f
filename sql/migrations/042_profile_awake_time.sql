-- How long a device listens after a contact: its profile counts where the device itself does not say.

CREATE OR REPLACE FUNCTION awake_time(device endpoint) RETURNS interval LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN device.binding LIKE '%Q%' THEN make_interval(secs =>
        CASE WHEN device.awake_time_told THEN device.awake_time_s
             ELSE coalesce((SELECT p.awake_time_s FROM profile p WHERE p.id = device.profile_id), device.awake_time_s, 93) END) END
$$;
COMMENT ON FUNCTION awake_time IS
    'How long a device of queue mode listens after a contact: as it said itself, else its profile, else Leshan''s setting.';

