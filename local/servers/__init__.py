"""The servers that functions need, PostgreSQL, NATS and Java's, and the ports that they take."""
