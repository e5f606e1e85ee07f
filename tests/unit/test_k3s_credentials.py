"""deploy/k3s/credentials.py: what it makes of a token's lines, and what it has kubectl do.

A program of this test's stands for kubectl: it keeps Secrets as a cluster would, and notes how it was called.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.k3s import credentials
from deploy.k3s.credentials import CredentialsError, newest_first, with_new_token, without_older

SCRIPT = Path(credentials.__file__)
KUBECTL = """
import json, sys
from pathlib import Path
home = Path(__file__).parent
state = json.loads((home / "state.json").read_text())
arguments, given = sys.argv[1:], sys.stdin.read()
with (home / "calls.log").open("a") as log:
    log.write(" ".join(arguments) + "\\n")
if (home / "refuse").exists() and (home / "refuse").read_text() in " ".join(arguments):
    sys.exit("refused: " + given)
match arguments:
    case ["get", "namespace", name, *_]:
        print("namespace/" + name if name in state else "")
    case ["get", "secrets", "-n", namespace, *_]:
        print(json.dumps({"items": list(state[namespace].values())}))
    case ["get", name, "-n", *_]:
        print(name)
    case ["apply", *_]:
        for item in json.loads(given)["items"]:
            state[item["metadata"]["namespace"]][item["metadata"]["name"]] = item
        (home / "state.json").write_text(json.dumps(state))
"""


class Cluster:
    """A folder that stands for a cluster, and the script run on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        self.kubectl = home / "kubectl"
        program = home / "kubectl.py"
        program.write_text(KUBECTL)
        self.kubectl.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{program}" "$@"\n')
        self.kubectl.chmod(0o700)
        login = {"basic-auth-user": "admin", "basic-auth-password": "the-login-of-openfaas"}
        item = credentials.manifest("openfaas", "basic-auth", login)
        self.write({"flownexus": {}, "openfaas-fn": {}, "openfaas": {"basic-auth": item}})

    def write(self, state: dict[str, dict[str, object]]) -> None:
        (self.home / "state.json").write_text(json.dumps(state))

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run the script; return what it printed. No secret is in that, or in the arguments of kubectl."""
        (self.home / "calls.log").unlink(missing_ok=True)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            assert credentials.main(["--kubectl", str(self.kubectl), *arguments]) == status, (
                printed.getvalue()
            )
        for secret in self.secret_words():
            assert secret not in printed.getvalue()
            assert secret not in self.calls_text()
        return printed.getvalue()

    def state(self) -> dict[str, dict[str, dict[str, str]]]:
        state = json.loads((self.home / "state.json").read_text())
        return {
            namespace: {
                name: {key: base64.b64decode(value).decode() for key, value in item["data"].items()}
                for name, item in items.items()
            }
            for namespace, items in state.items()
        }

    def lines(self, namespace: str, name: str) -> list[str]:
        return self.state()[namespace][name][name].splitlines()

    def secret_words(self) -> set[str]:
        text = json.dumps(self.state())
        return {word for word in re.findall(r"[\w-]{16,}", text) if re.search(r"\d", word) and len(word) > 40}

    def calls_text(self) -> str:
        path = self.home / "calls.log"
        return path.read_text() if path.exists() else ""

    def calls(self, what: str) -> list[str]:
        return [line for line in self.calls_text().splitlines() if line.startswith(what)]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "a cluster")


# A token's lines.


def test_a_new_token_is_let_in_before_it_is_sent_and_the_older_one_goes_last() -> None:
    lines = ["old", "other dashboard read"]
    both = with_new_token(lines, "", "new")
    assert both == ["old", "other dashboard read", "new"]
    assert newest_first(both, "") == ["new", "other dashboard read", "old"]
    assert without_older(newest_first(both, ""), "") == ["new", "other dashboard read"]


def test_a_holder_s_new_token_may_do_what_the_old_one_may() -> None:
    assert with_new_token(["a", "b dashboard read"], "dashboard", "c")[-1] == "c dashboard read"


@pytest.mark.parametrize(
    ("lines", "holder", "reason"),
    [
        (["a", "b"], "", "has 2 tokens: retire the older one first"),
        (["a"], "nobody", "the holder 'nobody' has 0 tokens"),
    ],
)
def test_a_third_token_of_a_holder_or_one_of_nobody_is_refused(
    lines: list[str], holder: str, reason: str
) -> None:
    with pytest.raises(CredentialsError, match=reason):
        with_new_token(lines, holder, "new")


# In a cluster.


def test_make_makes_all_at_once_and_then_changes_nothing(cluster: Cluster) -> None:
    printed = cluster.run("make")
    assert "wrote flownexus-api-token in openfaas-fn" in printed
    first = cluster.state()
    urls = {name: values[name] for name, values in first["flownexus"].items() if name.endswith("-url")}
    assert len(set(urls.values())) == len(urls)
    assert re.fullmatch(
        r"postgresql://flownexus_ingest:[\w-]{43}@postgres\.flownexus:5432/flownexus",
        urls["flownexus-ingest-database-url"],
    )
    for name in set(first["flownexus"]) & set(first["openfaas-fn"]):
        assert first["flownexus"][name] == first["openfaas-fn"][name], name
    assert first["openfaas-fn"]["flownexus-hook-token"] == {"flownexus-hook-token": "off"}
    assert cluster.run("make") == ""
    assert cluster.state() == first


def test_what_is_there_already_is_kept_and_what_is_of_others_is_left_alone(cluster: Cluster) -> None:
    token, foreign = "a" * 50 + "1", "b" * 50 + "1"
    state = json.loads((cluster.home / "state.json").read_text())
    for name, value in (("flownexus-api-token", token), ("somebody-s", foreign)):
        state["openfaas-fn"][name] = credentials.manifest("openfaas-fn", name, {name: value})
    cluster.write(state)
    cluster.run("make")
    assert cluster.lines("openfaas-fn", "flownexus-api-token") == [token]
    cluster.run("backup", str(cluster.home / "backup"))
    assert foreign not in (cluster.home / "backup").read_text()


def test_a_rotation_lets_the_new_token_in_first_then_sends_it_and_ends_with_the_old_one_refused(
    cluster: Cluster,
) -> None:
    cluster.run("make")
    [old] = cluster.lines("flownexus", "flownexus-webhook-token")
    cluster.run("rotate", "flownexus-webhook-token")
    new, still = cluster.lines("flownexus", "flownexus-webhook-token")
    assert still == old != new
    assert cluster.lines("openfaas-fn", "flownexus-webhook-token") == [new, old]
    assert [line.split()[2] for line in cluster.calls("rollout restart")] == [
        *("deployment/ingest-single", "deployment/ingest-composite", "deployment/registration"),
        "statefulset/leshan",
    ]
    # Written for who checks it, who is restarted; only then for who sends it.
    order = [
        line.split()[0]
        for line in cluster.calls_text().splitlines()
        if line.startswith(("apply", "rollout r"))
    ]
    assert order == ["apply", "rollout", "rollout", "rollout", "apply", "apply", "rollout"]
    cluster.run("retire", "flownexus-webhook-token")
    for namespace in ("flownexus", "openfaas-fn"):
        assert cluster.lines(namespace, "flownexus-webhook-token") == [new]
    assert "rotate it first" in cluster.run("retire", "flownexus-webhook-token", status=1)


def test_a_rotation_that_failed_half_way_goes_on_with_the_token_that_it_had_made(cluster: Cluster) -> None:
    cluster.run("make")
    [old] = cluster.lines("openfaas-fn", "flownexus-leshan-token")
    (cluster.home / "refuse").write_text("rollout status statefulset/leshan")
    assert "kubectl rollout status" in cluster.run("rotate", "flownexus-leshan-token", status=1)
    waiting, new = cluster.lines("flownexus", "flownexus-leshan-token")
    assert waiting == old
    assert cluster.lines("openfaas-fn", "flownexus-leshan-token") == [old]
    assert "has not ended" in cluster.run("retire", "flownexus-leshan-token", status=1)
    cluster.run("make")  # leaves the two copies as they are
    assert cluster.lines("openfaas-fn", "flownexus-leshan-token") == [old]
    (cluster.home / "refuse").unlink()
    cluster.run("rotate", "flownexus-leshan-token")
    assert cluster.lines("openfaas-fn", "flownexus-leshan-token") == [new, old]


def test_a_token_that_people_send_is_rotated_holder_by_holder(cluster: Cluster) -> None:
    cluster.run("make")
    cluster.run("set", "flownexus-api-token", "--holder", "dashboard", "--scope", "read")
    mine, theirs = cluster.lines("openfaas-fn", "flownexus-api-token")
    assert theirs.split()[1:] == ["dashboard", "read"]
    assert "has a token" in cluster.run("set", "flownexus-api-token", "--holder", "dashboard", status=1)
    cluster.run("rotate", "flownexus-api-token", "--holder", "dashboard")
    assert cluster.lines("openfaas-fn", "flownexus-api-token")[0] == mine
    cluster.run("rotate", "flownexus-api-token", "--holder", "dashboard")  # once more makes no third
    assert len(cluster.lines("openfaas-fn", "flownexus-api-token")) == 3
    cluster.run("retire", "flownexus-api-token", "--holder", "dashboard")
    assert theirs not in cluster.lines("openfaas-fn", "flownexus-api-token")
    file = cluster.home / "token"
    cluster.run("save", "flownexus-api-token", str(file), "--holder", "dashboard")
    assert file.read_text().strip() == cluster.lines("openfaas-fn", "flownexus-api-token")[1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_token_that_is_off_is_set_before_it_is_rotated(cluster: Cluster) -> None:
    cluster.run("make")
    assert "is off" in cluster.run("rotate", "flownexus-hook-token", status=1)
    cluster.run("set", "flownexus-hook-token")
    assert "off" not in cluster.lines("openfaas-fn", "flownexus-hook-token")


def test_a_role_s_password_is_set_in_the_database_first_and_never_as_it_is(cluster: Cluster) -> None:
    cluster.run("make")
    before = cluster.state()
    (cluster.home / "refuse").write_text("exec")
    printed = cluster.run("rotate", "flownexus-ingest-database-url", status=1)
    assert "left out: it repeats a secret" in printed
    assert cluster.state() == before
    (cluster.home / "refuse").unlink()
    cluster.run("rotate", "flownexus-ingest-database-url")
    after = cluster.state()
    name = "flownexus-ingest-database-url"
    assert after["flownexus"][name] == after["openfaas-fn"][name] != before["flownexus"][name]
    assert [line.split()[2] for line in cluster.calls("rollout restart")] == [
        *("deployment/ingest-single", "deployment/ingest-composite", "deployment/registration"),
        *("deployment/api", "deployment/housekeeping"),
    ]


def test_the_password_of_nats_is_changed_where_it_is_checked_and_where_it_is_sent(cluster: Cluster) -> None:
    cluster.run("make")
    cluster.run("rotate", "flownexus-nats-url")
    state = cluster.state()
    password = credentials.password_of(state["flownexus"]["flownexus-nats-url"]["flownexus-nats-url"])
    assert password in state["flownexus"]["nats"]["authorization.conf"]
    assert cluster.calls("rollout restart")[0] == "rollout restart statefulset/nats -n flownexus"


def test_a_backup_restores_into_an_empty_cluster_with_openfaas_s_new_login(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.run("make")
    file = tmp_path / "backup.json"
    cluster.run("backup", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    other = Cluster(tmp_path / "another")
    login = {"basic-auth-user": "admin", "basic-auth-password": "another-login-of-openfaas"}
    item = credentials.manifest("openfaas", "basic-auth", login)
    other.write({"flownexus": {}, "openfaas-fn": {}, "openfaas": {"basic-auth": item}})
    other.run("restore", str(file))
    kept, restored = cluster.state(), other.state()
    assert restored["flownexus"].pop("basic-auth")["basic-auth-password"] == "another-login-of-openfaas"
    del kept["flownexus"]["basic-auth"]
    assert restored["flownexus"] == kept["flownexus"]
    assert restored["openfaas-fn"] == kept["openfaas-fn"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("rotate", "nothing"), "there is no secret 'nothing' to rotate"),
        (("retire", "nothing"), "'nothing' has no second value"),
        (("set", "nothing"), "'nothing' is no token"),
        (("set", "flownexus-api-token", "--scope", "read"), "has a token: rotate it"),
        (("save", "nothing", "file"), "there is no secret 'nothing'"),
        (("restore", str(SCRIPT)), "is no backup of secrets"),
        (("restore", "/nowhere"), "No such file"),
    ],
)
def test_a_mistake_is_told_in_one_line(cluster: Cluster, arguments: tuple[str, ...], reason: str) -> None:
    cluster.run("make")
    printed = cluster.run(*arguments, status=1)
    assert reason in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("missing", "cure"),
    [("openfaas", "install OpenFaaS"), ("openfaas-fn", "install OpenFaaS"), ("flownexus", "namespace.yaml")],
)
def test_a_namespace_that_is_missing_is_named_with_the_cure(
    cluster: Cluster, missing: str, cure: str
) -> None:
    state = json.loads((cluster.home / "state.json").read_text())
    del state[missing]
    cluster.write(state)
    assert cure in cluster.run("make", status=1)


def test_openfaas_without_its_login_is_told(cluster: Cluster) -> None:
    cluster.write({"flownexus": {}, "openfaas-fn": {}, "openfaas": {}})
    assert "Secret basic-auth is not in the namespace openfaas" in cluster.run("make", status=1)
    assert cluster.state()["flownexus"] == {}


def test_a_kubectl_that_is_not_there_is_told(cluster: Cluster) -> None:
    cluster.kubectl.unlink()
    assert "cannot be run" in cluster.run("make", status=1)


def test_it_is_a_program_that_needs_nothing_but_python() -> None:
    done = subprocess.run(
        [sys.executable, "-IS", str(SCRIPT), "--help"], capture_output=True, text=True, check=True
    )
    assert "rotate" in done.stdout
