"""Take Leshan's webhook of several values of an endpoint as one event."""

from flownexus.ingest import app_from_environment
from flownexus.lwm2m.webhook import Kind

app = app_from_environment(Kind.COMPOSITE)
