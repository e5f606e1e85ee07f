"""Passkeys (WebAuthn) as a second factor: what a browser is asked for, and what it answered."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final, NamedTuple

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import parse_authentication_credential_json, parse_registration_credential_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from flownexus.accounts.place import Place
from flownexus.accounts.second_factor import ISSUER

MAX_PASSKEYS: Final = 20
"""Passkeys that a user may have."""
MAX_NAME: Final = 60
CHALLENGE_S: Final = 300.0
"""Seconds in which a challenge is to be answered (WebAuthn, 15.1: at most ten minutes)."""
_CHALLENGE_BYTES: Final = 32
_VERIFIED: Final = UserVerificationRequirement.REQUIRED
_MALFORMED: Final = (WebAuthnException, ValueError, TypeError, KeyError, IndexError, AttributeError)
"""What the library raises for what is no answer of a passkey."""


class PasskeyRefusedError(Exception):
    """What a browser answered is not right; for the log, not for whoever sent it."""


class Known(NamedTuple):
    """A passkey by which a browser may find it."""

    credential_id: bytes
    transports: list[str]


class NewPasskey(NamedTuple):
    """What is kept of a passkey; all of it is public."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: list[str]


def new_challenge() -> bytes:
    """Return random bytes that a passkey is to sign."""
    return secrets.token_bytes(_CHALLENGE_BYTES)


def creation_options(place: Place, user_id: int, name: str, challenge: bytes, there: Iterable[Known]) -> str:
    """Return as JSON what a browser is to ask for a new passkey; none of a device that has one already."""
    options = generate_registration_options(
        rp_id=place.host,
        rp_name=ISSUER,
        user_name=name,
        user_id=b"%d" % user_id,
        challenge=challenge,
        timeout=int(CHALLENGE_S * 1000),
        exclude_credentials=[_descriptor(each) for each in there],
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=_VERIFIED
        ),
    )
    return options_to_json(options)


def request_options(place: Place, challenge: bytes, there: Iterable[Known]) -> str:
    """Return as JSON what a browser is to ask for the use of one of these passkeys."""
    options = generate_authentication_options(
        rp_id=place.host,
        challenge=challenge,
        timeout=int(CHALLENGE_S * 1000),
        allow_credentials=[_descriptor(each) for each in there],
        user_verification=_VERIFIED,
    )
    return options_to_json(options)


def _descriptor(known: Known) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(
        id=known.credential_id, transports=[AuthenticatorTransport(each) for each in known.transports]
    )


def new_passkey(place: Place, challenge: bytes, answer: str) -> NewPasskey:
    """Return the passkey that a browser has made; raise PasskeyRefusedError where the answer is not right."""
    try:
        credential = parse_registration_credential_json(answer)
        found = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=place.host,
            expected_origin=place.origin,
            require_user_verification=True,
        )
    except _MALFORMED as error:
        raise PasskeyRefusedError(str(error)) from error
    told = [str(each.value) for each in credential.response.transports or []]
    return NewPasskey(found.credential_id, found.credential_public_key, found.sign_count, told)


def credential_id_of(answer: str) -> bytes:
    """Return which passkey an answer says it is of; raise PasskeyRefusedError where it is none."""
    try:
        return parse_authentication_credential_json(answer).raw_id
    except _MALFORMED as error:
        raise PasskeyRefusedError(str(error)) from error


def sign_count_of(place: Place, challenge: bytes, answer: str, public_key: bytes) -> int:
    """Return what a passkey has counted that signed this challenge here, its user verified.

    Raises PasskeyRefusedError where it did not. Whether the count has risen is for whoever keeps it to say.
    """
    try:
        found = verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=place.host,
            expected_origin=place.origin,
            credential_public_key=public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except _MALFORMED as error:
        raise PasskeyRefusedError(str(error)) from error
    return found.new_sign_count
