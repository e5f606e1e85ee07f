"""What it means to wait for an end with --wait."""

POLL_INTERVAL_S = 0.5
NOT_CONFIRMED = 3
"""The exit status where what was waited for, an operation or an update, ended and has not succeeded."""
STILL_OPEN = 4
"""The exit status where it did not end while it was waited for."""
