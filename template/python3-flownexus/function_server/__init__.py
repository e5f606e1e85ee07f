"""Serve one function's WSGI or ASGI application over HTTP, doing what OpenFaaS's watchdog would do."""
