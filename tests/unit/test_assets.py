"""Scripts that others wrote come as the lock file names them, or not at all."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from tools import assets
from tools.assets import AssetError, check, fetch, unpack


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as package:
        for name, text in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text)
            package.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def integrity(content: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    content = archive(script="alert", other="left out")
    monkeypatch.setattr(assets, "FILES", {"some": {"script": tmp_path / "vendor" / "script.js"}})
    monkeypatch.setattr(assets, "_download", lambda *asked: content)
    path = tmp_path / "package-lock.json"
    path.write_text(
        json.dumps({"packages": {"node_modules/some": {"version": "1", "integrity": integrity(content)}}})
    )
    return path


def test_what_is_there_of_the_same_lock_file_is_not_fetched_again(lock: Path, tmp_path: Path) -> None:
    assert fetch(lock, {}) == ["some 1"]
    assert (tmp_path / "vendor" / "script.js").read_text() == "alert"
    assert fetch(lock, {}) == []
    lock.write_text(lock.read_text().replace('"version": "1"', '"version": "2"'))
    assert fetch(lock, {}) == ["some 2"]


def test_a_package_with_another_hash_is_refused_and_nothing_of_it_is_written(
    lock: Path, tmp_path: Path
) -> None:
    lock.write_text(lock.read_text().replace("sha512-", "sha512-x"))
    with pytest.raises(AssetError, match=r"some: the package that came is not the one of package-lock\.json"):
        fetch(lock, {})
    assert not (tmp_path / "vendor").exists()


def test_a_hash_of_a_weaker_kind_is_refused() -> None:
    with pytest.raises(AssetError):
        check(
            b"x",
            "sha1-" + base64.b64encode(hashlib.sha1(b"x", usedforsecurity=False).digest()).decode(),
            "some",
        )


def test_a_file_that_a_package_lacks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises((AssetError, KeyError)):
        unpack(archive(other="x"), {"script": tmp_path / "script.js"})


def test_each_package_that_is_used_is_locked_with_its_hash() -> None:
    packages = json.loads(assets.LOCK.read_text())["packages"]
    assert {name.removeprefix("node_modules/") for name in packages if name} == set(assets.FILES)
    assert all(packages[f"node_modules/{name}"]["integrity"].startswith("sha512-") for name in assets.FILES)


def test_a_registry_that_is_not_of_https_is_refused() -> None:
    with pytest.raises(AssetError, match="https"):
        assets._download("http://registry.example", "some", "1")


def test_each_script_of_ours_is_short_enough_to_be_read_at_once() -> None:
    """Files of the browser need no build step, and stay under 100 lines."""
    lines = {path.name: path.read_text().count("\n") for path in assets.VENDOR.parent.glob("*.js")}
    assert lines
    assert {name: count for name, count in lines.items() if count >= 100} == {}
