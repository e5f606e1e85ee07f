"""Campaigns: one package for many devices, in waves, which stop by themselves. Pure: no I/O."""
