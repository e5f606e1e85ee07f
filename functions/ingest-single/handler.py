"""Take Leshan's webhook of resource values one by one."""

from flownexus.leshan.webhook import Kind
from flownexus.web.ingest import app_from_environment

app = app_from_environment(Kind.SINGLE)
