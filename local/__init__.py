"""The embedded world: every part of Flow Nexus on one machine, for trying, developing and testing it."""
