"""Campaigns: one package for many devices, in waves, with automatic stops. Pure: no I/O."""
