"""Load, random kills, and an audit at the end."""
