"""Parts of URLs: an endpoint's name, the LwM2M path of something on it, and the id of a row.

/v1/endpoints/<name>/3303/0/5700: the name's characters that have a meaning in a URL are percent-encoded, "/"
as %2F. A function's server decodes them, so the path is as many ids as stand at the end, at most four; who
has a device whose name ends in "/" and a number gives the path as a parameter, where there is one.
"""

from __future__ import annotations

from typing import ClassVar

from flask import Flask
from werkzeug.routing import BaseConverter

from flownexus.errors import NotFoundError, ValidationFailedError
from flownexus.lwm2m.path import BadPathError, Path
from flownexus.web.asked import MAX_ROW_ID


class EndpointNameConverter(BaseConverter):
    """A part of a URL that is an endpoint's name: whatever characters, "/" and line ends too."""

    regex = "(?s:.+?)"
    part_isolating = False
    schema: ClassVar = {"type": "string", "minLength": 1, "description": "percent-encoded, / as %2F"}


class PathConverter(BaseConverter):
    """The end of a URL, or what stands before its last word, that is a LwM2M path."""

    regex = r"[0-9]{1,5}(?:/[0-9]{1,5}){0,3}"
    part_isolating = False
    schema: ClassVar = {
        "type": "string",
        "pattern": "^[0-9]{1,5}(/[0-9]{1,5}){0,3}$",
        "description": "a LwM2M path, such as 3303/0/5700; its / may stand as they are",
    }


def add_converters(app: Flask) -> None:
    """Let the app's routes have <endpoint_name:...> and <lwm2m_path:...>."""
    app.url_map.converters["endpoint_name"] = EndpointNameConverter
    app.url_map.converters["lwm2m_path"] = PathConverter


def known_name(name: str) -> str:
    """Return a name that an endpoint may have; raise NotFoundError where none can."""
    if "\0" in name:
        raise NotFoundError(f"no endpoint {name!r} has been seen")
    return name


def known_id(id_: int, what: str, largest: int = MAX_ROW_ID) -> int:
    """Return an id that a row of `what` may have; raise NotFoundError where none can."""
    if id_ > largest:
        raise NotFoundError(f"there is no {what} {id_}")
    return id_


def path_of(text: str) -> Path:
    """Return the path in a URL; raise ValidationFailedError where one of its ids is too large."""
    try:
        return Path.parse(text)
    except BadPathError as error:
        raise ValidationFailedError(f"path: {error}") from None
