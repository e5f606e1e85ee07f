"""The command line's credentials and CA: what it writes, and what it says where a file is no good."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import parser
from cli.client import ClientError
from flownexus.enrolment.authority import Authority, certificate_pem, now
from flownexus.enrolment.keys import private_pem
from tests.unit.test_cli_models import FakeClient, run

ROW: dict[str, Any] = {
    "id": 7,
    "endpoint": "a/b",
    "mode": "psk",
    "identity": "a/b",
    "fingerprint": None,
    "created_at": "2026-01-02T03:04:05+00:00",
    "created_by": "api",
    "expires_at": None,
    "revoked_at": None,
    "revoked_by": None,
}
MADE: dict[str, Any] = {**ROW, "files": {"psk-key.hex": "00ff\n", "key.der": "AP8="}, "carried": True}


def test_files_are_written_for_their_owner_alone_below_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = FakeClient({**MADE, "files": {**MADE["files"], "../evil": "x"}, "carried": False})
    assert run(client, "credentials", "add", "a/b", "psk", "-o", str(tmp_path)) == 0
    folder = tmp_path / "a%2Fb"
    assert {path.name for path in folder.iterdir()} == {"psk-key.hex", "key.der", "evil"}
    assert (folder / "key.der").read_bytes() == b"\x00\xff"
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    told = capsys.readouterr()
    assert told.out.startswith("credential 7 of a/b, psk: does not expire\n")
    assert "00ff" not in told.out
    assert "Leshan does not know yet" in told.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the first line names the columns"),
        ("name\na\n", "the first line names the columns"),
        ("endpoint,colour\na,red\n", "the first line names the columns"),
    ],
)
def test_a_csv_file_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "fleet.csv").write_text(text)
    with pytest.raises(ClientError, match=says):
        run(FakeClient(), "credentials", "import", str(tmp_path / "fleet.csv"), "-o", str(tmp_path))
    with pytest.raises(ClientError, match="cannot read"):
        run(FakeClient(), "credentials", "import", str(tmp_path / "none.csv"))


def test_a_refused_part_of_a_csv_file_is_named_and_ends_the_import(tmp_path: Path) -> None:
    lines = "".join(f"d-{i},\n" for i in range(300))
    (tmp_path / "fleet.csv").write_text(f"endpoint,mode\n{lines}")
    client = FakeClient({"credentials": [MADE]}, ClientError("no"))
    with pytest.raises(ClientError, match=r"^rows 251 to 300 are not enrolled.*250 are enrolled"):
        run(client, "credentials", "import", str(tmp_path / "fleet.csv"), "-o", str(tmp_path))


def test_all_valid_credentials_of_a_device_are_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    revoked = {**ROW, "revoked_at": "2026-01-02T03:04:06+00:00", "revoked_by": "api", "carried": True}
    client = FakeClient({"credentials": [ROW, {**ROW, "id": 8}]}, revoked, {**revoked, "id": 8})
    assert run(client, "credentials", "revoke", "--endpoint", "a/b") == 0
    assert [path for _, path, _ in client.asked][1:] == ["/api/v1/credentials/7", "/api/v1/credentials/8"]
    assert "credential 8 of a/b: revoked 2026-01-02" in capsys.readouterr().out
    with pytest.raises(ClientError, match="has no valid credential"):
        run(FakeClient({"credentials": []}), "credentials", "revoke", "--endpoint", "a/b")


def ca(*arguments: str) -> Any:
    given = parser().parse_args(["ca", "init", *arguments])
    return given.run_here(given)


def test_a_ca_is_made_with_leshan_s_certificate_and_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert ca(str(folder), "--host", "192.0.2.10", "--host", "leshan.example") == 0
    made = Authority.read((folder / "flownexus-ca").read_text())
    assert (folder / "flownexus-ca-certificate").read_text() == certificate_pem(made.certificate)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    with pytest.raises(ClientError, match="flownexus-ca is there already"):
        ca(str(folder), "--host", "192.0.2.10")


def test_a_ca_given_signs_leshan_s_certificate(tmp_path: Path) -> None:
    given = Authority.new("Mine", now())
    certificate, key = tmp_path / "ca.pem", tmp_path / "ca-key.pem"
    certificate.write_text(certificate_pem(given.certificate))
    key.write_text(private_pem(given.key))
    assert ca(str(tmp_path), "--host", "a", "--certificate", str(certificate), "--key", str(key)) == 0
    assert Authority.read((tmp_path / "flownexus-ca").read_text()).certificate == given.certificate
    for arguments, says in (
        (("--certificate", str(certificate)), "go together"),
        (("--certificate", str(key), "--key", str(key)), "certificate and its private key"),
        (("--certificate", str(tmp_path / "none"), "--key", str(key)), "cannot read"),
    ):
        with pytest.raises(ClientError, match=says):
            ca(str(tmp_path / "other"), "--host", "a", *arguments)
    assert not (tmp_path / "other").exists()


def test_what_is_listed_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(FakeClient({"credentials": [ROW]}), "credentials", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [ROW]
    assert run(FakeClient({"credentials": [ROW]}), "credentials", "list", "--endpoint", "a/b") == 0
    assert capsys.readouterr().out.split() == ["7", "a/b", "psk", "a/b", "does", "not", "expire"]
