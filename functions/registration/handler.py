"""Take Leshan's webhook of registration events."""

from flownexus.leshan.webhook import Kind
from flownexus.web.ingest import app_from_environment

app = app_from_environment(Kind.REGISTRATION)
