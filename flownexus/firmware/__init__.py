"""Firmware over the air: packages, and the steps of an update. Pure: no I/O."""
