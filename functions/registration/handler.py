"""Take Leshan's webhook of registration events."""

from flownexus.ingest import app_from_environment
from flownexus.store.delivery import Kind

app = app_from_environment(Kind.REGISTRATION)
