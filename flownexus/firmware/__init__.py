"""Firmware over the air: what a package says of itself, and what becomes of an update. Pure: no I/O."""
