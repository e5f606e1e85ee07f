"""Keys, certificates and the files of devices: what is made, what is refused, and what a file holds."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key
from cryptography.x509.oid import NameOID

from flownexus.enrolment import files
from flownexus.enrolment.authority import (
    RENEWED_BEFORE,
    SITE_LIFE,
    Authority,
    certificate_pem,
    is_good_for,
    now,
    public_key_of_request,
)
from flownexus.enrolment.files import Server
from flownexus.enrolment.keys import new_pair, public_pem, read_public
from flownexus.enrolment.sealing import Sealer
from flownexus.errors import MissingSettingError, ValidationFailedError

URI = "coaps://192.0.2.10:5684"
SECRET, OTHER = "s" * 32, "o" * 32


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new("Test CA", now())


def request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str = "my-0001") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder(subject).sign(key, SHA256())
    return csr.public_bytes(Encoding.PEM).decode()


def test_a_sealed_key_is_opened_by_its_secret_for_its_endpoint_alone() -> None:
    sealed = Sealer([SECRET]).seal(b"key", "a")
    assert b"key" not in sealed
    assert Sealer([OTHER, SECRET]).open(sealed, "a") == b"key"  # a secret that was rotated
    for sealer, endpoint in ((Sealer([OTHER]), "a"), (Sealer([SECRET]), "b")):
        with pytest.raises(MissingSettingError, match="sealed by another secret"):
            sealer.open(sealed, endpoint)


def test_a_secret_that_is_too_short_seals_nothing() -> None:
    with pytest.raises(MissingSettingError, match="31 characters are too few"):
        Sealer([SECRET, "s" * 31])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl judges the certificates")
def test_openssl_verifies_certificates_of_devices_and_of_the_server(
    authority: Authority, tmp_path: Path
) -> None:
    ca, leaf = tmp_path / "ca.pem", tmp_path / "leaf.pem"
    ca.write_text(certificate_pem(authority.certificate))
    device = authority.device("my-0001", new_pair().public_key(), now(), None)
    server, _ = authority.server(["192.0.2.10", "leshan.example"], now())
    for certificate, purpose in ((device, "sslclient"), (server, "sslserver")):
        leaf.write_text(certificate_pem(certificate))
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(ca), str(leaf)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    ) == ["leshan.example"]


def test_a_site_s_certificate_is_renewed_before_its_end_for_other_names_and_by_another_authority(
    authority: Authority,
) -> None:
    certificate, _ = authority.site(["localhost", "127.0.0.1"], now())
    pem = certificate_pem(certificate)
    assert is_good_for(pem, authority, ["127.0.0.1", "localhost"], now())
    assert not is_good_for(pem, authority, ["localhost", "nexus.example.com"], now())
    assert not is_good_for(pem, authority, ["localhost"], now() + SITE_LIFE - RENEWED_BEFORE)
    assert not is_good_for(pem, Authority.new("Test CA", now()), ["localhost"], now())
    assert not is_good_for("no certificate", authority, ["localhost"], now())
    assert not is_good_for(certificate_pem(authority.certificate), authority, ["localhost"], now())


def test_an_authority_is_read_back_from_its_secret(authority: Authority) -> None:
    again = Authority.read(authority.pem)
    assert again.certificate == authority.certificate
    assert again.key.public_key() == authority.key.public_key()


def test_what_is_no_authority_is_said(authority: Authority) -> None:
    for pem in ("", certificate_pem(authority.certificate), "nonsense"):
        with pytest.raises(MissingSettingError, match="certificate and its private key"):
            Authority.read(pem)
    stranger = Authority.new("Another CA", now())
    with pytest.raises(MissingSettingError, match="is not that of its certificate"):
        Authority.read(
            certificate_pem(authority.certificate) + stranger.pem.split("-----END CERTIFICATE-----\n")[1]
        )


def test_a_certificate_ends_when_it_is_to_and_not_after_its_authority(authority: Authority) -> None:
    key, end = new_pair().public_key(), now() + timedelta(days=3)
    assert authority.device("a", key, now(), end).not_valid_after_utc == end
    with pytest.raises(ValidationFailedError, match=r"^expires_at: the CA ends at"):
        authority.device("a", key, now(), now() + timedelta(days=26 * 366))
    with pytest.raises(ValidationFailedError, match=r"^endpoint: a certificate has room for 64"):
        authority.device("a" * 65, key, now(), None)


def test_a_request_has_the_devices_own_key() -> None:
    key = new_pair()
    assert public_key_of_request(request(key), "my-0001") == key.public_key()


@pytest.mark.parametrize(
    "csr",
    [
        "",
        "nonsense",
        request(new_pair())[:-60] + "AAAA\n-----END CERTIFICATE REQUEST-----\n",
        request(ec.generate_private_key(ec.SECP384R1())),
        request(rsa.generate_private_key(65537, 2048)),
    ],
)
def test_what_is_no_request_for_such_a_key_is_refused(csr: str) -> None:
    with pytest.raises(ValidationFailedError, match=r"^csr: a PKCS#10 request"):
        public_key_of_request(csr, "my-0001")


def test_a_request_for_another_name_is_refused() -> None:
    with pytest.raises(ValidationFailedError, match=r"^csr: its common name is to be 'my-0002'"):
        public_key_of_request(request(new_pair()), "my-0002")


def test_a_public_key_is_one_of_the_curve(authority: Authority) -> None:
    key = new_pair().public_key()
    assert read_public(public_pem(key)) == key
    for pem in (
        "",
        public_pem(ec.generate_private_key(ec.SECP384R1()).public_key()),
        certificate_pem(authority.certificate),
    ):
        with pytest.raises(ValidationFailedError, match=r"^public_key: a public key of the curve P-256"):
            read_public(pem)


def test_files_of_a_key_name_it_as_each_client_takes_it() -> None:
    made = files.of_psk(Server(URI), 'my "0001"', 'my "0001"', b"\x00\xff" * 8)
    assert made["psk-key.hex"] == "00ff" * 8 + "\n"
    assert made["psk-identity.txt"] == 'my "0001"\n'
    assert made["leshan-client.args"].split("\n")[:4] == ["-n", '"my \\"0001\\""', "-u", f'"{URI}"']
    assert ".security_mode = ANJAY_SECURITY_PSK," in made["anjay_credentials.h"]
    assert 'client_psk_id[] = "my \\0420001\\042";' in made["zephyr_credentials.h"]


def test_files_of_a_certificate_hold_its_key_unless_the_device_has_made_it(authority: Authority) -> None:
    key = new_pair()
    certificate = authority.device("my-0001", key.public_key(), now(), None)
    server, _ = authority.server(["192.0.2.10"], now())
    made = files.of_certificate(Server(URI, server, authority.certificate), "my-0001", certificate, key)
    kept = load_der_private_key(base64.b64decode(made["key.der"]), None)
    assert kept.public_key() == certificate.public_key()
    assert made["ca.pem"] == certificate_pem(authority.certificate)
    own = files.of_certificate(Server(URI, server, authority.certificate), "my-0001", certificate, None)
    assert set(made) - set(own) == {"key.pem", "key.der", "anjay_credentials.h", "zephyr_credentials.h"}
    assert not [text for text in own.values() if "PRIVATE" in text]


def test_files_of_a_raw_public_key_are_those_of_leshan_s_client(authority: Authority) -> None:
    server, _ = authority.server(["192.0.2.10"], now())
    key = new_pair()
    made = files.of_rpk(Server(URI, server), "my-0001", key.public_key(), key)
    assert made["public.pem"] == public_pem(key.public_key())
    assert read_public(made["server-public.pem"]) == server.public_key()
    assert '-spubk\n"server-public.der"\n' in made["leshan-client.args"]
    own = files.of_rpk(Server(URI, server), "my-0001", key.public_key(), None)
    assert set(made) - set(own) == {"key.pem", "key.der"}


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc reads the headers")
def test_a_compiler_reads_the_headers(authority: Authority, tmp_path: Path) -> None:
    server, _ = authority.server(["192.0.2.10"], now())
    known, key = Server(URI, server, authority.certificate), new_pair()
    certificate = authority.device("my-0001", key.public_key(), now(), None)
    name = 'my "*/0001\\ ä??/'
    for made in (
        files.of_psk(known, name, name, b"k" * 16),
        files.of_certificate(known, "my-0001", certificate, key),
    ):
        for file in (name for name in made if name.endswith(".h")):
            (tmp_path / file).write_text(made[file])
            fields = sorted(set(re.findall(r"^    \.(\w+) =", made[file], re.MULTILINE)))
            types = {"ssid": "int", "security_mode": "int", "server_uri": "const char *"}
            declared = "".join(
                f"{types.get(each, 'long' if each.endswith('_size') else 'const void *')} {each};"
                for each in fields
            )
            source = tmp_path / "main.c"
            source.write_text(
                "enum { ANJAY_SECURITY_PSK, ANJAY_SECURITY_CERTIFICATE };\n"
                + (f"typedef struct {{ {declared} }} anjay_security_instance_t;\n" if fields else "")
                + f'#include "{file}"\nint main(void) {{ return 0; }}\n'
            )
            command = ["gcc", "-fsyntax-only", "-Wall", "-Wno-unused", "-Werror", str(source)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
