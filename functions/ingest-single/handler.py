"""Take Leshan's webhook of resource values one by one."""

from flownexus.ingest import app_from_environment
from flownexus.lwm2m.webhook import Kind

app = app_from_environment(Kind.SINGLE)
