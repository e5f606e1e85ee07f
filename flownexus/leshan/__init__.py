"""All that knows Leshan: its REST API, its JSON, its webhook bodies."""
