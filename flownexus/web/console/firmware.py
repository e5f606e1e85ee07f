"""Firmware packages: uploaded chunk by chunk, listed, retired.

A package comes as the REST API takes it (flownexus.web.firmware): it is announced with its SHA-256, its
chunks of 512 KiB follow, and the end checks it. So the console never holds more than a chunk of it, and an
upload that was interrupted goes on where it was. static/upload.js sends it.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Response, make_response, redirect, request, url_for

from flownexus.firmware.package import CHUNK_BYTES, VERSION_PATH, Success, parse_package
from flownexus.objects.bucket import Bucket
from flownexus.store.firmware import (
    add_chunk,
    announce,
    complete,
    list_packages,
    missing_chunks,
    retire,
    show_package,
)
from flownexus.web import paging
from flownexus.web.console.app import Access, ConsoleApp, fields, me, page
from flownexus.web.places import known_id

PAGE: Final = 50
MAX_PACKAGE_ID: Final = 2**31 - 1
MAX_DIGITS: Final = 18
_ASKED: Final = ("version", "file_name", "size", "sha256", "label", "model", "version_path", "success", "uri")


def add_firmware(app: ConsoleApp, bucket: Bucket | None) -> None:
    """Add these routes; packages come into `bucket`, if there is one."""

    @app.get("/firmware", access=Access.VIEWER)
    def firmware() -> Response:
        found = list_packages(app.pool, paging.number("cursor", MAX_PACKAGE_ID), PAGE + 1)
        following = found[PAGE - 1].id if len(found) > PAGE else None
        return page("firmware.html", packages=found[:PAGE], next=following)

    @app.get("/firmware/new", access=Access.ADMIN)
    def new_firmware() -> Response:
        return page("new_firmware.html", success=list(Success), version_path=VERSION_PATH)

    @app.post("/firmware", access=Access.ADMIN)
    def announce_firmware() -> Response:
        package, is_new = announce(app.pool, parse_package(package_of(fields(_ASKED))), me().name)
        missing = [] if package.completed_at else missing_chunks(app.pool, package.id)
        answer = {
            "missing": missing,
            "chunk_size": CHUNK_BYTES,
            "chunks": url_for("add_firmware_chunk", id_=package.id, number=0).removesuffix("0"),
            "complete": url_for("complete_firmware", id_=package.id),
        }
        return make_response(answer, 201 if is_new else 200)

    @app.post("/firmware/<int:id_>/chunks/<int:number>", access=Access.ADMIN)
    def add_firmware_chunk(id_: int, number: int) -> Response:
        add_chunk(app.pool, _known(id_), number, request.get_data(cache=False), bucket)
        return make_response("", 204)

    @app.post("/firmware/<int:id_>/complete", access=Access.ADMIN)
    def complete_firmware(id_: int) -> Response:
        complete(app.pool, _known(id_), bucket)
        return make_response({"page": url_for("package", id_=id_)})

    @app.get("/firmware/<int:id_>", access=Access.VIEWER)
    def package(id_: int) -> Response:
        return page("package.html", package=show_package(app.pool, _known(id_)))

    @app.post("/firmware/<int:id_>/retire", access=Access.ADMIN)
    def retire_firmware(id_: int) -> Response:
        retire(app.pool, _known(id_), me().name)
        return make_response(redirect(url_for("package", id_=id_), 303))


def package_of(given: dict[str, str]) -> dict[str, Any]:
    """Return a form's fields as the body that announces a package; what is empty is left out."""
    body: dict[str, Any] = {name: text.strip() for name, text in given.items() if text.strip()}
    if (size := body.get("size", "")).isascii() and size.isdigit() and len(size) <= MAX_DIGITS:
        body["size"] = int(size)
    return body


def _known(id_: int) -> int:
    return known_id(id_, "package", MAX_PACKAGE_ID)
