"""TLS at the gateway: for browsers and programs; the other parts of the world stay on plain loopback."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final

from aiohttp import web

HSTS: Final = "max-age=31536000"
_CONSOLE: Final = "/function/console"


class TlsError(OSError):
    """The certificate or its key cannot be used."""


def context_of(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what the gateway speaks TLS by: 1.2 or newer; raise TlsError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(
            f"{certificate} and {key} must be a certificate and its private key in PEM, without a password: "
            f"{error}"
        ) from None
    return context


def to_tls(port: int) -> Any:
    """Return a middleware: who opens the console over plain HTTP is sent to where TLS is spoken."""

    @web.middleware
    async def sent(request: web.Request, handler: Any) -> web.StreamResponse:
        path = request.rel_url.raw_path
        is_console = path == _CONSOLE or path.startswith(f"{_CONSOLE}/")
        # A proxy of the user's own speaks TLS in our place.
        if is_console and not request.secure and "X-Forwarded-Proto" not in request.headers:
            location = request.url.with_scheme("https").with_port(port)
            return web.Response(status=308, headers={"Location": str(location)})
        response: web.StreamResponse = await handler(request)
        return response

    return sent


async def with_tls_only(request: web.Request, response: web.StreamResponse) -> None:
    """Tell who came over TLS to stay with it (RFC 6797)."""
    if request.secure:
        response.headers.setdefault("Strict-Transport-Security", HSTS)
