-- name: try_housekeeping_lock(lock, step)$
-- Held until the transaction ends; two rounds at once do each step once.
SELECT pg_try_advisory_xact_lock(:lock, :step);

-- name: set_statement_timeout(timeout)$
SELECT set_config('statement_timeout', :timeout, true);

-- name: only_read()$
-- Has PostgreSQL refuse what would write in this transaction, and plan each list for the filters that it is asked for.
SELECT set_config('transaction_read_only', 'on', true), set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: only_read_by_filter()$
-- The same, but for plans: each look-up of endpoint_matches() would be planned anew, row by row.
SELECT set_config('transaction_read_only', 'on', true);
