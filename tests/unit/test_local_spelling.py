"""Settings that are misspelt."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.layout import Layout
from local.options import OptionError, Options
from local.spelling import OF_CLIENTS, SETTINGS, check_names


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MAKEFLAGS": " --no-print-directory -- DEVICE=5"}, "no setting DEVICE: did you mean DEVICES?"),
        ({"MAKEFLAGS": " -- devices=5"}, "no setting devices: did you mean DEVICES?"),
        ({"MAKEFLAGS": "k -j2 -- FLOWNEXUS_DEVICES:=5"}, "FLOWNEXUS_DEVICES: did you mean DEVICES?"),
        ({"MAKEFLAGS": " -- GATEWAY_PORT=1"}, "did you mean FLOWNEXUS_GATEWAY_PORT?"),
        ({"MAKEFLAGS": " -- HTTP_PROXY=http://x"}, "no setting HTTP_PROXY\n"),
        ({"FLOWNEXUS_GATWAY_PORT": "1"}, "FLOWNEXUS_GATWAY_PORT: did you mean FLOWNEXUS_GATEWAY_PORT?"),
        ({"FLOWNEXUS_ELEPHANT": "1"}, "no setting FLOWNEXUS_ELEPHANT\n"),
    ],
)
def test_a_setting_that_there_is_not_is_named_with_the_nearest(
    environment: dict[str, str], said: str
) -> None:
    with pytest.raises(OptionError) as raised:
        check_names(environment)
    assert said in str(raised.value)


def test_all_that_are_wrong_are_named_once() -> None:
    environment = {"MAKEFLAGS": " -- FLOWNEXUS_HOM=x DEVICE=5", "FLOWNEXUS_HOM": "x", "DEVICE": "5"}
    with pytest.raises(OptionError) as raised:
        check_names(environment)
    first, second, _ = str(raised.value).splitlines()
    assert first == "there is no setting FLOWNEXUS_HOM: did you mean FLOWNEXUS_HOME?"
    assert second == "there is no setting DEVICE: did you mean DEVICES?"


def test_what_make_and_the_environment_have_otherwise_is_let_pass() -> None:
    check_names({"MAKEFLAGS": " --no-print-directory", "DEVICE": "5", "HOME": "/"})
    check_names({"MAKEFLAGS": "k"})
    check_names({"MAKEFLAGS": " -- PYTHON=python3.12 ARGS=-f\\ connector\\ DEVICE=5 MODELS=/a\\ b=c"})
    check_names(dict.fromkeys(SETTINGS, "1"))


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_a_shell_that_has_sourced_a_world_s_file_env_is_let_pass(
    tmp_path: Path, tls: bool, bootstrap: bool
) -> None:
    check_names(Layout(Options(home=tmp_path, tls=tls, bootstrap=bootstrap)).environment())


def test_what_clients_are_given_is_what_a_file_env_may_have(tmp_path: Path) -> None:
    environment = Layout(Options(home=tmp_path, tls=True, bootstrap=True)).environment()
    assert {*environment, "PGPASSFILE"} - {*OF_CLIENTS, *SETTINGS} == {"PGPASSFILE"}
    assert set(OF_CLIENTS) <= set(environment)


def test_the_documents_have_each_setting() -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    [section] = [part for part in text.split("\n## ") if part.startswith("make up")]
    absent = {name for name in SETTINGS if f"`{name}`" not in section and f"`{name}=" not in section}
    assert absent == set()
