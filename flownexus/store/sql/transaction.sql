-- name: try_housekeeping_lock(lock, step)$
-- Held until the transaction ends; two rounds at once do each step once.
SELECT pg_try_advisory_xact_lock(:lock, :step);

-- name: set_statement_timeout(timeout)$
SELECT set_config('statement_timeout', :timeout, true);

-- name: only_read()$
-- Has PostgreSQL refuse what would write in this transaction.
SELECT set_config('transaction_read_only', 'on', true);
