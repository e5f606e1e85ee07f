"""The files of a device's credentials: PEM and DER, and as Leshan's client, Anjay and Zephyr take them.

A file whose name ends in .der is in base64, for JSON; all others are text.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from flownexus.enrolment.authority import certificate_der, certificate_pem
from flownexus.enrolment.keys import private_der, private_pem, public_der, public_pem

BYTES_A_LINE: Final = 12


@dataclass(frozen=True)
class Server:
    """What devices know of Leshan: its URI, and its certificate and that of its CA where it has them."""

    uri: str
    certificate: x509.Certificate | None = None
    authority: x509.Certificate | None = None


def of_psk(server: Server, endpoint: str, identity: str, key: bytes) -> dict[str, str]:
    """Return the files of a pre-shared key."""
    return {
        "psk-identity.txt": identity + "\n",
        "psk-key.hex": key.hex() + "\n",
        "leshan-client.args": _arguments(server, endpoint, {"-i": identity, "-p": key.hex()}),
        "anjay_credentials.h": _anjay(server, endpoint, "PSK", identity.encode(), key, None),
        "zephyr_credentials.h": _header(
            _array("client_psk", key) + f'static const char client_psk_id[] = "{_c(identity)}";\n', endpoint
        ),
    }


def of_rpk(
    server: Server, endpoint: str, public: ec.EllipticCurvePublicKey, key: ec.EllipticCurvePrivateKey | None
) -> dict[str, str]:
    """Return the files of a raw public key, which Anjay and Zephyr do not take.

    Without `key` the device has made it itself.
    """
    files = {"public.pem": public_pem(public), "public.der": _base64(public_der(public))}
    own = {"-cpubk": "public.der"}
    if server.certificate is not None and isinstance(
        trusted := server.certificate.public_key(), ec.EllipticCurvePublicKey
    ):
        files |= {"server-public.pem": public_pem(trusted), "server-public.der": _base64(public_der(trusted))}
        own["-spubk"] = "server-public.der"
    if key is not None:
        files |= _private(key)
        own["-cprik"] = "key.der"
    return files | {"leshan-client.args": _arguments(server, endpoint, own)}


def of_certificate(
    server: Server, endpoint: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | None
) -> dict[str, str]:
    """Return the files of a certificate; without `key` the device has made it itself."""
    files = {
        "certificate.pem": certificate_pem(certificate),
        "certificate.der": _base64(certificate_der(certificate)),
    }
    own = {"-ccert": "certificate.der"}
    their = None
    if server.authority is not None:
        their = certificate_der(server.authority)
        files |= {"ca.pem": certificate_pem(server.authority), "ca.der": _base64(their)}
        own |= {"-scert": "ca.der", "-cu": "2"}  # trust anchor assertion (RFC 6698, 2.1.1)
    if key is not None:
        files |= _private(key)
        own["-cprik"] = "key.der"
        files["anjay_credentials.h"] = _anjay(
            server, endpoint, "CERTIFICATE", certificate_der(certificate), private_der(key), their
        )
        files["zephyr_credentials.h"] = _header(
            _array("client_certificate", certificate_der(certificate))
            + _array("client_private_key", private_der(key))
            + (_array("ca_certificate", their) if their else ""),
            endpoint,
        )
    return files | {"leshan-client.args": _arguments(server, endpoint, own)}


def _private(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    return {"key.pem": private_pem(key), "key.der": _base64(private_der(key))}


def _arguments(server: Server, endpoint: str, more: Mapping[str, str]) -> str:
    """Return arguments of Leshan's demo client, which takes them as @leshan-client.args."""
    given = {"-n": endpoint, "-u": server.uri, **more}
    return "".join(f"{name}\n{_quoted(value)}\n" for name, value in given.items())


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _anjay(server: Server, endpoint: str, mode: str, own: bytes, key: bytes, their: bytes | None) -> str:
    """Return an instance of Anjay's security object, to be given to anjay_security_object_add_instance()."""
    arrays = _array("flownexus_own", own) + _array("flownexus_key", key)
    fields = {
        "ssid": "1",
        "server_uri": f'"{_c(server.uri)}"',
        "security_mode": f"ANJAY_SECURITY_{mode}",
        "public_cert_or_psk_identity": "flownexus_own",
        "public_cert_or_psk_identity_size": "sizeof(flownexus_own)",
        "private_cert_or_psk_key": "flownexus_key",
        "private_cert_or_psk_key_size": "sizeof(flownexus_key)",
    }
    if their is not None:
        arrays += _array("flownexus_server", their)
        fields |= {
            "server_public_key": "flownexus_server",
            "server_public_key_size": "sizeof(flownexus_server)",
        }
    body = "".join(f"    .{name} = {value},\n" for name, value in fields.items())
    return _header(
        f'#define FLOWNEXUS_ENDPOINT "{_c(endpoint)}"\n{arrays}'
        f"static const anjay_security_instance_t flownexus_security = {{\n{body}}};\n",
        endpoint,
    )


def _header(text: str, endpoint: str) -> str:
    shown = endpoint.replace("*/", "* /")
    return f"/* Credentials of {shown}. Keep them secret. */\n#pragma once\n\n{text}"


def _array(name: str, content: bytes) -> str:
    lines = [
        "    " + " ".join(f"0x{byte:02x}," for byte in content[at : at + BYTES_A_LINE])
        for at in range(0, len(content), BYTES_A_LINE)
    ]
    return f"static const unsigned char {name}[] = {{\n" + "\n".join(lines) + "\n};\n"


def _c(text: str) -> str:
    """Return a text as it stands in a literal of C."""
    return "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
