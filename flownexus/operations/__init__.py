"""What an operation is and what becomes of it. Pure: no I/O."""
