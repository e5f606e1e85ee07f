"""What it means to wait for an end with --wait."""

POLL_INTERVAL_S = 0.5
NOT_CONFIRMED = 3
"""The exit status where an operation ended otherwise than as CONFIRMED."""
STILL_OPEN = 4
"""The exit status where an operation did not end while it was waited for."""
