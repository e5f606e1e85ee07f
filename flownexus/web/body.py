"""The body of a request."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import request

from flownexus.errors import BadRequestError


def json_body() -> Any:
    """Return the JSON that the request's body is; raise BadRequestError where it is none."""
    try:
        return msgspec.json.decode(request.get_data(cache=False))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"the body is not JSON: {error}") from None
    except RecursionError:
        raise BadRequestError("the body is nested too deeply") from None
