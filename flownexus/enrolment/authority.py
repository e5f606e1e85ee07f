"""A certificate authority: makes itself, Leshan's certificate, and those of devices (RFC 5280, RFC 7925)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from flownexus.enrolment.keys import new_pair, p256, private_pem
from flownexus.errors import MissingSettingError, ValidationFailedError

AUTHORITY_LIFE: Final = timedelta(days=25 * 365)
SERVER_LIFE: Final = timedelta(days=10 * 365)
SITE_LIFE: Final = timedelta(days=397)
"""What browsers take at most of a public CA; some also of others."""
RENEWED_BEFORE: Final = timedelta(days=60)
"""Before its end a site's certificate is made anew."""
DEVICE_LIFE: Final = timedelta(days=10 * 365)
"""Unless an earlier end is asked for: who replaces a certificate on a device comes by seldom."""
BACKDATED: Final = timedelta(minutes=10)
"""For devices whose clock is a little behind."""
MAX_COMMON_NAME: Final = 64  # characters (RFC 5280, ub-common-name)


@dataclass(frozen=True)
class Authority:
    """The certificate of an authority, and the key by which it signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls, name: str, now: datetime) -> Authority:
        """Make an authority, which signs certificates that sign no others."""
        key = new_pair()
        builder = (
            _builder(name, _name(name), key.public_key(), now, now + AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(builder.sign(key, SHA256()), key)

    @classmethod
    def read(cls, pem: str) -> Authority:
        """Read a certificate and its key, both in PEM, from one text; raise MissingSettingError."""
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            key = load_pem_private_key(pem[pem.index("-----BEGIN PRIVATE KEY-----") :].encode(), None)
        except (ValueError, TypeError):
            raise MissingSettingError(
                "secret flownexus-ca: it is the CA's certificate and its private key (PKCS#8, without a "
                "password), both in PEM"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise MissingSettingError(
                "secret flownexus-ca: its private key is not that of its certificate, on an elliptic curve"
            )
        return cls(certificate, key)

    @property
    def pem(self) -> str:
        """Return its certificate and its key, as read() takes them; a secret."""
        return certificate_pem(self.certificate) + private_pem(self.key)

    def server(
        self, hosts: Sequence[str], now: datetime
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """Make Leshan's certificate for the names and addresses by which devices find it."""
        return self._server(hosts, now, now + SERVER_LIFE)

    def site(
        self, hosts: Sequence[str], now: datetime
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """Make the gateway's certificate for the names and addresses by which browsers find it."""
        return self._server(hosts, now, now + SITE_LIFE)

    def _server(
        self, hosts: Sequence[str], now: datetime, end: datetime
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = new_pair()
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        end = min(end, self.certificate.not_valid_after_utc)
        builder = _leaf(
            self._builder(hosts[0], key.public_key(), now, end), ExtendedKeyUsageOID.SERVER_AUTH
        ).add_extension(names, critical=False)
        return builder.sign(self.key, SHA256()), key

    def device(
        self, endpoint: str, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime | None
    ) -> x509.Certificate:
        """Sign a device's certificate, whose common name is the endpoint's.

        Without an end it is valid for DEVICE_LIFE, or as long as the CA. Raises ValidationFailedError where
        the CA ends before, or the name does not fit.
        """
        if len(endpoint) > MAX_COMMON_NAME:
            raise ValidationFailedError(
                f"endpoint: a certificate has room for {MAX_COMMON_NAME} characters; use psk or rpk"
            )
        last = self.certificate.not_valid_after_utc
        if end is not None and end > last:
            raise ValidationFailedError(
                f"expires_at: the CA ends at {last.isoformat()}; give an earlier time"
            )
        return _leaf(
            self._builder(endpoint, key, now, end or min(now + DEVICE_LIFE, last)),
            ExtendedKeyUsageOID.CLIENT_AUTH,
        ).sign(self.key, SHA256())

    def _builder(
        self, name: str, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
    ) -> x509.CertificateBuilder:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            _builder(name, self.certificate.subject, key, now, end)
            .add_extension(issuer, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


def is_good_for(pem: str, authority: Authority, hosts: Sequence[str], now: datetime) -> bool:
    """Say whether a site's certificate is this authority's, has these names, and is not to be renewed."""
    try:
        found = x509.load_pem_x509_certificate(pem.encode())
        found.verify_directly_issued_by(authority.certificate)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return now < found.not_valid_after_utc - RENEWED_BEFORE and {
        _general_name(each) for each in hosts
    } <= set(names)


_WANTED_REQUEST: Final = (
    "csr: a PKCS#10 request for a key of the curve P-256 in PEM, signed by that key "
    "(-----BEGIN CERTIFICATE REQUEST-----)"
)


def public_key_of_request(csr: str, endpoint: str) -> ec.EllipticCurvePublicKey:
    """Return the key of a certificate signing request in PEM, of which the device has the private one.

    Raises ValidationFailedError where it is none, is signed by another key, or is for another name.
    """
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        key = p256(request.public_key())
        signed = request.is_signature_valid
    except ValueError:
        raise ValidationFailedError(_WANTED_REQUEST) from None
    if not signed:
        raise ValidationFailedError(_WANTED_REQUEST)
    names = [each.value for each in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [endpoint]:
        raise ValidationFailedError(f"csr: its common name is to be {endpoint!r}, not {names}")
    return key


def certificate_pem(certificate: x509.Certificate) -> str:
    """Return a certificate in PEM."""
    return certificate.public_bytes(Encoding.PEM).decode()


def certificate_der(certificate: x509.Certificate) -> bytes:
    """Return a certificate in DER."""
    return certificate.public_bytes(Encoding.DER)


def now() -> datetime:
    """Return the time, in whole seconds as certificates have it."""
    return datetime.now(UTC).replace(microsecond=0)


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=_name(name),
        public_key=key,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - BACKDATED,
        not_valid_after=end,
    )


def _leaf(builder: x509.CertificateBuilder, purpose: x509.ObjectIdentifier) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
