"""Leshan's JSON of links: [{"url": "/3/0", "attributes": {...}}, ...]."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from flownexus.lwm2m.path import BadPathError, Path

_FORMATS = re.compile(r'"?(\d{1,5}(?: +\d{1,5})*)"?', re.ASCII)
_VERSION = re.compile(r'"?(\d{1,4}\.\d{1,4})"?', re.ASCII)
MAX_FORMATS = 32
MAX_VERSIONS = 1000


def content_formats(links: object) -> tuple[int, ...] | None:
    """Return the numbers that the root link's ct names (OMA LwM2M Core 1.1, 6.4.3), None where it names none.

    The root is the link with rt="oma.lwm2m", or "/". More than 32 are cut.
    """
    for link in links if isinstance(links, list) else []:
        attributes = link.get("attributes") if isinstance(link, Mapping) else None
        if not isinstance(link, Mapping) or not isinstance(attributes, Mapping):
            continue
        if link.get("url") == "/" or str(attributes.get("rt")).strip('"') == "oma.lwm2m":
            found = _FORMATS.fullmatch(str(attributes.get("ct", "")))
            if found:
                return tuple(map(int, found[1].split()))[:MAX_FORMATS]
    return None


def iter_object_links(links: object) -> Iterator[str]:
    """Yield the object and instance paths of a registration's links, such as /3/0.

    Takes the demo's objectLinks ([{"url": "/3/0", "attributes": {...}}, ...]) or plain paths. What is no such
    path (an alternate root, "/") is passed over.
    """
    for link in links if isinstance(links, list) else []:
        url = link.get("url") if isinstance(link, Mapping) else link
        if not isinstance(url, str):
            continue
        try:
            path = Path.parse(url)
        except BadPathError:
            continue
        if path.depth <= 2:
            yield str(path)


def object_versions(links: object) -> dict[str, str] | None:
    """Return the version of each object that has one (ver, OMA LwM2M Core 1.1, 7.2.2), by its id.

    None where there are no links. At most 1,000 are taken.
    """
    if not isinstance(links, list):
        return None
    versions: dict[str, str] = {}
    for link in links:
        attributes = link.get("attributes") if isinstance(link, Mapping) else None
        told = _VERSION.fullmatch(str(attributes.get("ver"))) if isinstance(attributes, Mapping) else None
        object_path = next(iter_object_links([link]), None)
        if told and object_path is not None and len(versions) < MAX_VERSIONS:
            versions[str(Path.parse(object_path).object_id)] = told[1]
    return versions
