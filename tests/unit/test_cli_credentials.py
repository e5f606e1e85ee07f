"""The command line's credentials and CA: what it writes, and what it says where a file is no good."""

from __future__ import annotations

import json
import re
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
    assert "Leshan is away" in told.err


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
    with pytest.raises(
        ClientError, match=r"^no; rows 251 to 300 are not enrolled.*first 250 rows are enrolled"
    ):
        run(client, "credentials", "import", str(tmp_path / "fleet.csv"), "-o", str(tmp_path))


def test_what_is_wrong_with_an_element_is_said_of_its_row_of_the_csv_file(tmp_path: Path) -> None:
    lines = "".join(f"d-{i},\n" for i in range(300))
    (tmp_path / "fleet.csv").write_text(f"endpoint,mode\n{lines}")
    client = FakeClient({"credentials": [MADE]}, ClientError("credentials, number 2: mode: psk, rpk or x509"))
    with pytest.raises(ClientError, match=r"^row 252 \(d-251\): mode: psk, rpk or x509; rows 251 to 300 are"):
        run(client, "credentials", "import", str(tmp_path / "fleet.csv"), "-o", str(tmp_path / "out"))


def test_a_single_row_is_said_in_the_singular(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fleet.csv").write_text("endpoint\nd-1\n")
    file, folder = str(tmp_path / "fleet.csv"), str(tmp_path / "out")
    with pytest.raises(ClientError, match=r"^no; row 1 is not enrolled"):
        run(FakeClient(ClientError("no")), "credentials", "import", file, "-o", folder)
    assert run(FakeClient({"credentials": [MADE]}), "credentials", "import", file, "-o", folder) == 0
    assert capsys.readouterr().out.startswith("enrolled 1 device; their files")


COMMANDS: list[tuple[str, ...]] = [
    ("credentials", "add", "a/b", "psk"),
    ("credentials", "rotate", "7"),
    ("credentials", "import", "FILE"),
    ("bootstrap", "add", "a/b"),
    ("bootstrap", "import", "FILE"),
]


def answers_of(command: tuple[str, ...], made: dict[str, Any]) -> list[Any]:
    listed = {"credentials": [made], "keys": [made]}
    first = [ROW] if "rotate" in command else []
    return [*first, listed if "import" in command else made]


def arguments_of(command: tuple[str, ...], tmp_path: Path) -> list[str]:
    file = tmp_path / "fleet.csv"
    file.write_text("endpoint\na/b\n")
    return [str(file) if each == "FILE" else each for each in command]


@pytest.mark.parametrize("command", COMMANDS)
def test_files_are_never_replaced_and_nothing_is_made_without_a_folder_for_them(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    arguments, folder = arguments_of(command, tmp_path), tmp_path / "out"
    (folder / "a%2Fb").mkdir(parents=True)
    (folder / "a%2Fb" / "psk-key.hex").write_text("old")
    for place, says in (
        (folder, "a%2Fb already contains files.*choose another --folder, or remove them"),
        (Path("/proc/x"), "cannot write to /proc/x: .*; choose another --folder"),
        (folder / "a%2Fb" / "psk-key.hex" / "x", "cannot write to .*; choose another --folder"),
    ):
        client = FakeClient(*answers_of(command, MADE))
        with pytest.raises(ClientError, match=says):
            run(client, *arguments, "-o", str(place))
        assert all(method == "GET" for method, _, _ in client.asked)
    assert (folder / "a%2Fb" / "psk-key.hex").read_text() == "old"


@pytest.mark.parametrize("command", COMMANDS)
def test_where_files_cannot_be_written_it_is_said_what_to_revoke(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    made = {**MADE, "used_at": None, "files": {"x" * 300: ""}}  # no file may have so long a name
    client = FakeClient(*answers_of(command, made))
    with pytest.raises(ClientError, match=f"cannot write to .*: `flownexus {command[0]} revoke 7`$"):
        run(client, *arguments_of(command, tmp_path), "-o", str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("credentials revoke field-0001", "`flownexus credentials list` lists them; --endpoint revokes all"),
        ("credentials rotate field-0001", "`flownexus credentials list` lists them"),
        ("campaign show spring", "'spring' is not the number of a campaign.*`flownexus campaign list`"),
        ("campaign pause spring", "`flownexus campaign list` lists them"),
        ("updates cancel spring", "`flownexus updates list` lists them"),
        ("bootstrap revoke a", "`flownexus bootstrap keys` lists them"),
        ("dead-letters show a", "`flownexus dead-letters list` lists them"),
        ("batch a", "`flownexus batches` lists them"),
        ("why a", "`flownexus operations` lists them"),
    ],
)
def test_what_is_no_number_is_told_where_the_number_is_shown(
    command: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(command.split())
    assert re.search(says, capsys.readouterr().err)


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
    with pytest.raises(ClientError, match="flownexus-ca exists already"):
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
