"""What `make test-openfaas` says where something is missing: all of it, at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.openfaas.prerequisites import missing


def test_every_missing_program_and_its_package_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    *_, programs, go = missing()
    assert programs.startswith("containerd, ctr, runc, buildah, debootstrap, prometheus, ip, unshare: ")
    assert programs.endswith(
        "apt-get install buildah containerd debootstrap iproute2 prometheus runc util-linux"
    )
    assert go == "Go 1.24 or newer, for gateway and faas-cli: go is not on the PATH"


def test_a_go_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho go1.19.8\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert missing()[-1].endswith(f"{go} is go1.19.8")
