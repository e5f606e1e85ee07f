"""What OMA LwM2M itself says: paths, data types, values. Pure: no I/O."""
