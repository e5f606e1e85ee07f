"""What comes with a browser's requests: how they reached us, from where, and the cookies."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Final

from flask import Response, request

NAME: Final = "console"
URL: Final = f"/function/{NAME}"
BROWSER_COOKIE_LIFETIME: Final = timedelta(days=365)


def is_tls() -> bool:
    """Say whether the browser speaks TLS, to us or to the proxy before the gateway."""
    told = request.headers.get("X-Forwarded-Proto", request.scheme)
    return told.rpartition(",")[2].strip().lower() == "https"


def site() -> str:
    """Return scheme and host of the page at hand, as its reader's browser has them."""
    host = request.headers.get("X-Forwarded-Host", request.host).rpartition(",")[2].strip()
    return f"{'https' if is_tls() else 'http'}://{host}"


def _cookie(what: str) -> str:
    return f"__Host-flownexus-{what}" if is_tls() else f"flownexus-{what}"


def cookie(what: str) -> str | None:
    """Return a cookie of ours."""
    return request.cookies.get(_cookie(what)) or None


def set_cookie(response: Response, what: str, token: str | None, lifetime: timedelta | None = None) -> None:
    """Set a cookie of ours, or delete it; without a lifetime it ends with the browser."""
    response.set_cookie(
        _cookie(what),
        token or "",
        max_age=lifetime if token else 0,
        path="/" if is_tls() else URL,
        secure=is_tls(),
        httponly=True,
        samesite="Lax",
    )


def address() -> str:
    """Return where the request came from, as the proxy next to us says; of IPv6 the network."""
    text = request.headers.get("X-Forwarded-For", request.remote_addr or "").rpartition(",")[2].strip()
    for candidate in (text, text.rpartition(":")[0].strip("[]")):
        try:
            found = ipaddress.ip_address(candidate)
        except ValueError:
            continue
        network = ipaddress.ip_network(f"{found}/{64 if found.version == 6 else 32}", strict=False)
        return str(network.network_address if found.version == 6 else found)
    return "unknown"
