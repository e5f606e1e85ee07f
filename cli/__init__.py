"""The command line of Flow Nexus: a client of its REST API, and of nothing else."""
