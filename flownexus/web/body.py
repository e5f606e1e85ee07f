"""The body of a request."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import request

from flownexus.errors import BadRequestError


def json_body() -> Any:
    """Return the JSON that the request's body is; raise BadRequestError where it is none."""
    body = request.get_data(cache=False)
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        is_text = body and not body.lstrip().startswith((b"{", b"[", b'"'))
        hint = '; a text needs quotes, as in "UTC"' if is_text else ""
        raise BadRequestError(f"the body is not JSON: {error}{hint}") from None
    except RecursionError:
        raise BadRequestError("the body is nested too deeply") from None
