"""Measures what Flow Nexus promises of its speed: `make bench`, or `python -m benchmarks [name ...]`."""
