"""Take Leshan's webhook of registration events."""

from flownexus.ingest import app_from_environment
from flownexus.lwm2m.webhook import Kind

app = app_from_environment(Kind.REGISTRATION)
