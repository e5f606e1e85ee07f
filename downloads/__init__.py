"""Serves firmware packages to devices over HTTP, beside the functions: no package goes through a gateway."""
