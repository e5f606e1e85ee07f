"""What LwM2M itself says: paths, values, nodes, webhook bodies, operations. Pure: no I/O."""
