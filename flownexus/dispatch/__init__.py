"""Sends operations to devices through Leshan: claims, leases, records."""
