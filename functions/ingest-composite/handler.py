"""Take Leshan's webhook of several values of an endpoint as one event."""

from flownexus.leshan.webhook import Kind
from flownexus.web.ingest import app_from_environment

app = app_from_environment(Kind.COMPOSITE)
