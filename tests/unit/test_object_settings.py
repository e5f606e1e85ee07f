"""The settings of an object store: what is missing or wrong keeps a process from starting."""

from __future__ import annotations

from pathlib import Path

import pytest

from flownexus.errors import MissingSettingError
from flownexus.objects.settings import bucket_from_environment

RIGHT = {"firmware_store_url": "https://s3.example.com", "firmware_store_bucket": "firmware"}
KEYS = {"flownexus-firmware-store-access-key": "id", "flownexus-firmware-store-secret-key": "key"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set what is right."""
    monkeypatch.setenv("secret_mount_path", str(tmp_path))
    monkeypatch.delenv("firmware_store_region", raising=False)
    for name, value in RIGHT.items():
        monkeypatch.setenv(name, value)
    for name, value in KEYS.items():
        (tmp_path / name).write_text(value)
    return tmp_path


def test_a_store_is_used_where_it_is_set_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bucket_from_environment() is not None
    for name in RIGHT:
        monkeypatch.setenv(name, "")
    assert bucket_from_environment() is None
    for name in KEYS:
        (folder / name).unlink()
    assert bucket_from_environment() is None


@pytest.mark.parametrize("name", KEYS)
def test_a_store_without_one_of_its_keys_is_a_refusal_that_names_it(folder: Path, name: str) -> None:
    (folder / name).write_text("off")
    with pytest.raises(MissingSettingError, match=f"{name}: firmware_store_url needs it; it is off"):
        bucket_from_environment()
    (folder / name).unlink()
    with pytest.raises(MissingSettingError, match=name):
        bucket_from_environment()


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("firmware_store_url", "", "firmware_store_url is not set: firmware_store_bucket needs it"),
        ("firmware_store_bucket", "", "firmware_store_bucket is not set"),
        ("firmware_store_url", "s3.example.com", "such as https://s3.example.com"),
        ("firmware_store_url", "s3://firmware", "such as https"),
        ("firmware_store_url", "https://s3.example.com/firmware", "without a path"),
        ("firmware_store_url", "https://id:key@s3.example.com", "without a path or a user"),
        ("firmware_store_url", "https://s3.example.com:70000", "such as https"),
    ],
)
def test_a_setting_that_is_wrong_is_a_refusal_that_names_it(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(MissingSettingError, match=told):
        bucket_from_environment()
