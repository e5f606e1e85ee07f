"""OpenID Connect: where a provider is, what it is asked, and whom its ID token names; no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact

from flownexus.accounts.role import Role, as_name
from flownexus.errors import MissingSettingError

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
"""Signatures by a provider's private key: a secret that both know, or none at all, says nothing."""
LEEWAY_S: Final = 60
"""Seconds by which the provider's clock may be wrong."""
SCOPE: Final = "openid profile email"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


class OpenIdRefusedError(Exception):
    """What the provider answered is not right; for the log, not for whoever came with it."""


class Client(NamedTuple):
    """How the console is known to a provider, and what it makes of its users."""

    issuer: str
    id: str
    secret: str
    redirect_uri: str
    name: str
    """What the provider is called on the page of the sign-in."""
    role_claim: str = ""
    roles: Mapping[str, Role] = {}
    """What a value of the claim makes of a user."""
    adds_users: bool = False
    """Whether whom the provider knows is a user here; else who was invited alone."""


class Provider(NamedTuple):
    """What a provider says of itself (OpenID Connect Discovery, 3)."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None


class Attempt(NamedTuple):
    """What a sign-in takes that has begun: none of it may be guessed, and it counts once."""

    state: str
    nonce: str
    verifier: str


class Identity(NamedTuple):
    """Whom an ID token names."""

    issuer: str
    subject: str
    email: str | None
    """As the provider has verified it."""
    suggested_name: str | None
    role: Role | None
    """None where the claims say nothing of it."""


def checked_url(text: str, what: str) -> str:
    """Return a URL of a provider; raise MissingSettingError unless it is over TLS, or on this machine."""
    try:
        parts = urlsplit(text)
        is_right = bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        )
    except ValueError:
        is_right = False
    if not is_right:
        raise MissingSettingError(f"{what}: {text!r} must be a URL like https://login.example.com")
    return text


def roles_of(text: str) -> dict[str, Role]:
    """Read which value of a claim makes which role, such as "ops=operator,admins=admin"."""
    found = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        value, _, role = each.rpartition("=")
        if not value or role not in list(Role):
            raise MissingSettingError(
                f"{each!r}: a value of the claim and a role ({', '.join(Role)}), such as ops=operator"
            )
        found[value] = Role(role)
    return found


def read_provider(issuer: str, answer: Any) -> Provider:
    """Read a provider's metadata; raise OpenIdRefusedError where it is none, or of another issuer."""
    if not isinstance(answer, dict) or answer.get("issuer") != issuer:
        raise OpenIdRefusedError(f"the metadata is not that of the issuer {issuer}")
    try:
        authorization, token, keys = (
            checked_url(str(answer.get(name)), name)
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
        )
        end = answer.get("end_session_endpoint")
        if end is not None:
            end = checked_url(str(end), "end_session_endpoint")
        return Provider(authorization, token, keys, end)
    except MissingSettingError as error:
        raise OpenIdRefusedError(str(error)) from None


def authorization_url(client: Client, provider: Provider, attempt: Attempt) -> str:
    """Return where a browser is sent to sign in: code flow, with PKCE."""
    return str(
        prepare_grant_uri(
            provider.authorization_endpoint,
            client_id=client.id,
            response_type="code",
            redirect_uri=client.redirect_uri,
            scope=SCOPE,
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
    )


def token_request(
    client: Client, provider: Provider, code: str, attempt: Attempt
) -> tuple[Mapping[str, str], str]:
    """Return headers and body of the request that exchanges a code for an ID token."""
    body = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": client.redirect_uri,
        "code_verifier": attempt.verifier,
    }
    auth = ClientAuth(client.id, client.secret, "client_secret_basic")
    _, headers, text = auth.prepare(
        "POST",
        provider.token_endpoint,
        {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        urlencode(body),
    )
    return headers, text


def key_id_of(token: str) -> str | None:
    """Return the key that an ID token says it is signed by; raise OpenIdRefusedError where it is none."""
    try:
        key_id = extract_compact(token.encode()).headers().get("kid")
    except (JoseError, ValueError) as error:
        raise OpenIdRefusedError(f"the ID token cannot be read: {error}") from None
    return None if key_id is None else str(key_id)


def identity_of(client: Client, keys: Any, token: str, attempt: Attempt, now_s: float) -> Identity:
    """Return whom an ID token names; raise OpenIdRefusedError unless all that has to be right is.

    `keys` is the provider's key set (RFC 7517). The signature, issuer, audience, times and nonce are checked
    (OpenID Connect Core, 3.1.3.7).
    """
    try:
        found = jwt.decode(token, KeySet.import_key_set(keys), algorithms=list(ALGORITHMS))
        claims = CodeIDToken(
            found.claims,
            found.header,
            options={
                "iss": {"essential": True, "value": client.issuer},
                "aud": {"essential": True, "value": client.id},
            },
            params={"nonce": attempt.nonce, "client_id": client.id},
        )
        claims.validate(now=int(now_s), leeway=LEEWAY_S)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise OpenIdRefusedError(f"the ID token is not right: {type(error).__name__}: {error}") from None
    subject = found.claims["sub"]
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255:
        raise OpenIdRefusedError("the ID token names nobody: sub is to be a text of 1 to 255 characters")
    verified = found.claims.get("email") if found.claims.get("email_verified") is True else None
    email = as_name(str(verified)) if verified else None
    suggested = email or as_name(str(found.claims.get("preferred_username") or ""))
    return Identity(client.issuer, subject, email, suggested, role_of(client, found.claims))


def role_of(client: Client, claims: Mapping[str, Any]) -> Role | None:
    """Return the greatest role that the claim gives, viewer where it gives none; None without a mapping."""
    if not client.role_claim:
        return None
    told = claims.get(client.role_claim)
    values = told if isinstance(told, list) else [told]
    given = [client.roles[each] for each in values if isinstance(each, str) and each in client.roles]
    return max(given, key=list(Role).index, default=Role.VIEWER)


def as_json(content: bytes) -> Any:
    """Read an answer of the provider; raise OpenIdRefusedError where it is no JSON."""
    try:
        return json.loads(content)
    except ValueError:
        raise OpenIdRefusedError("the provider's answer is no JSON") from None
