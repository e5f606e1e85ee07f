-- The console tells presence by the same rule as all others, and whom Leshan did not let in.

GRANT EXECUTE ON FUNCTION awake_time, presence TO flownexus_console;
GRANT SELECT ON registration_refusal TO flownexus_console;
