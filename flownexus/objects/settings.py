"""Which bucket a process keeps packages in, by its environment and secrets."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import urlsplit

from flownexus.errors import MissingSettingError
from flownexus.objects.bucket import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, Bucket
from flownexus.objects.signature import Signer
from flownexus.settings import secret_for, text_setting

URL: Final = "firmware_store_url"
DEFAULT_REGION: Final = "us-east-1"
"""What stores take that have no regions."""


def bucket_from_environment() -> Bucket | None:
    """Return the bucket for packages that come; None where they go into PostgreSQL.

    Raises MissingSettingError where the setting names a store, and something that it needs is missing.
    """
    url = os.environ.get(URL)
    if not url:
        if os.environ.get(BUCKET):
            raise MissingSettingError(f"environment variable {URL} is not set: {BUCKET} needs it")
        return None
    try:
        parts = urlsplit(url)
        is_right = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.path in ("", "/")
            and not (parts.query or parts.fragment or parts.username or parts.password)
            and parts.port != 0
        )
    except ValueError:
        is_right = False
    if not is_right:
        raise MissingSettingError(
            f"environment variable {URL}: {url!r} must be the store's URL without a path or a user, such as "
            "https://s3.example.com"
        )
    name, region = text_setting(BUCKET), os.environ.get(REGION) or DEFAULT_REGION
    keys = secret_for(URL, ACCESS_KEY), secret_for(URL, SECRET_KEY)
    return Bucket(url, name, Signer(*keys, region))
