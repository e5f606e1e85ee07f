from dataclasses import astuple
from pathlib import Path

import pytest

from flownexus.errors import MissingSettingError
from flownexus.settings import (
    Timeouts,
    duration,
    integer_setting,
    optional_secret_lines,
    secret,
    secret_lines,
    text_setting,
    token_to_send,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("40s", 40), ("1m30s", 90), ("500ms", 0.5), ("8760h", 31536000), ("0", 0), ("1.5s", 1.5)],
)
def test_durations_are_those_of_go(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "40", "s", "1d", "-1s", "1s x", "1 s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(MissingSettingError, match="not a duration"):
        duration(text)


def test_timeouts_follow_from_the_long_poll_each_shorter_than_the_next() -> None:
    assert Timeouts.of(30) == Timeouts(30, 35, 40, 50, 60, 65, 70)
    tenth = Timeouts.of(3)
    ordered = list(astuple(tenth))
    assert ordered == sorted(set(ordered))


def test_a_lease_is_a_minute_at_most_however_long_a_device_may_take() -> None:
    assert (Timeouts.of(30).lease_term_s, Timeouts.of(3600).lease_term_s) == (50, 60)
    assert Timeouts.of(3600).lease_s == 6000


def test_a_secret_comes_from_its_file_and_two_are_valid_during_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("secret_mount_path", str(tmp_path))
    (tmp_path / "token").write_text("new\nold\n")
    assert secret_lines("token") == ("new", "old")
    assert secret("token") == token_to_send("token") == "new"
    (tmp_path / "token").write_text("new ann read\nold\n")
    assert token_to_send("token") == "new"


@pytest.mark.parametrize("content", [None, "", "\n \n"])
def test_an_unset_secret_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.setenv("secret_mount_path", str(tmp_path))
    if content is not None:
        (tmp_path / "token").write_text(content)
    with pytest.raises(MissingSettingError, match="secret token"):
        secret("token")


def test_an_optional_secret_is_off_where_it_is_missing_or_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("secret_mount_path", str(tmp_path))
    assert optional_secret_lines("hook") == ()
    (tmp_path / "hook").write_text("off\n")
    assert optional_secret_lines("hook") == ()
    (tmp_path / "hook").write_text("new\nold\n")
    assert optional_secret_lines("hook") == ("new", "old")
    (tmp_path / "hook").write_text("\n")
    with pytest.raises(MissingSettingError, match="hook"):
        optional_secret_lines("hook")


def test_a_setting_that_is_missing_or_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("leshan_url", raising=False)
    with pytest.raises(MissingSettingError, match="leshan_url"):
        text_setting("leshan_url")
    monkeypatch.setenv("database_pool_size", "many")
    with pytest.raises(MissingSettingError, match="database_pool_size"):
        integer_setting("database_pool_size", 4)
