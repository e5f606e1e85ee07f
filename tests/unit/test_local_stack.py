"""stack.yml, as the local provider reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.openfaas.stack import StackError, nice_levels, read_stack, substitute

REPOSITORY = Path(__file__).resolve().parent.parent.parent
STACK = """
functions:
  one:
    lang: python3-flownexus
    handler: ./one
    image: ${REGISTRY:-localhost:5000}/one:1
    environment: {number: 5, flag: true, place: "${PLACE:-here}"}
    secrets: [a]
    labels: {com.openfaas.scale.min: "2"}
"""


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "handler.py").touch()
    path = tmp_path / "stack.yml"
    path.write_text(STACK)
    return path


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A:-b}", "b"),
        ("${A}", ""),
        ("${X}", "x"),
        ("${X:-y}/${EMPTY:-z}", "x/z"),
        ("$X ${:-} $", "$X ${:-} $"),
        ("${U:-http://h:1/p?q=1}", "http://h:1/p?q=1"),
    ],
)
def test_variables_are_filled_in_as_a_shell_does(text: str, filled: str) -> None:
    assert substitute(text, {"X": "x", "EMPTY": ""}) == filled


def test_a_function_is_read_with_all_values_as_text(stack: Path) -> None:
    one = read_stack(stack, {"PLACE": "there"})["one"]
    assert one.environment == {"number": "5", "flag": "true", "place": "there"}
    assert one.image == "localhost:5000/one:1"
    assert (one.secrets, one.scale_min) == (("a",), 2)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("python3-flownexus", "node20", "only python3-flownexus"),
        ("./one", "./two", "no handler.py"),
        ("./one", "../one", "no handler.py"),
        ("functions:", "other:", "has no functions"),
        ("functions:", "functions: [", "cannot be read"),
        ("secrets: [a]", "requests: {cpu: much}", r"'much'; it is of the form 0.1 or 100m"),
        ("secrets: [a]", "requests: {cpu: -100m}", "it is of the form"),
        ("secrets: [a]", "requests: {cpu: 0}", "it is of the form"),
        ("secrets: [a]", "requests: {cpu: nan}", "it is of the form"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(
    stack: Path, old: str, new: str, reason: str
) -> None:
    stack.write_text(STACK.replace(old, new))
    with pytest.raises(StackError, match=reason):
        read_stack(stack, {})


def test_who_asks_for_a_tenth_of_the_processors_gets_about_a_tenth() -> None:
    """A nice level has 1.25 times the share of the next: ten levels are a factor of 9.3."""
    asked = {"much": 0.5, "little": 0.05, "hardly": 0.0001, "nothing said": None}
    assert nice_levels(asked) == {"much": 0, "little": 10, "hardly": 19, "nothing said": 0}


def test_where_processors_are_short_values_come_before_operations() -> None:
    nice = {name: function.nice for name, function in read_stack(REPOSITORY / "stack.yml", {}).items()}
    uplink = {nice.pop(name) for name in ("ingest-single", "ingest-composite", "registration")}
    assert uplink == {0}
    assert min(nice.values()) > 0


def test_the_project_s_own_functions_and_what_each_may_know() -> None:
    functions = read_stack(REPOSITORY / "stack.yml", {})
    assert set(functions) == {
        "ingest-single",
        "ingest-composite",
        "registration",
        "operations",
        "api",
        "dispatch-op",
        "housekeeping",
        "firmware",
        "console",
    }
    # Of the callers' tokens each function has only that of its own callers.
    callers = {"flownexus-webhook-token", "flownexus-connector-token", "flownexus-api-token"}
    assert {name: set(f.secrets) & callers for name, f in functions.items()} == {
        "ingest-single": {"flownexus-webhook-token"},
        "ingest-composite": {"flownexus-webhook-token"},
        "registration": {"flownexus-webhook-token"},
        "operations": {"flownexus-api-token"},
        "api": {"flownexus-api-token"},
        "dispatch-op": {"flownexus-connector-token"},
        "housekeeping": {"flownexus-connector-token"},
        "firmware": {"flownexus-connector-token"},
        "console": set(),
    }
    assert functions["dispatch-op"].annotations["topic"] == "lwm2m.>"
    scraped = {"prometheus.io.scrape": "true", "prometheus.io.port": "8081"}
    assert functions["ingest-single"].annotations == scraped
    assert functions["housekeeping"].annotations == {
        "topic": "cron-function", "schedule": "*/5 * * * * *", **scraped,
    }  # fmt: skip
    assert all("handler.py" in {p.name for p in f.handler.iterdir()} for f in functions.values())
