"""Flow Nexus: the one library that every function carries."""
