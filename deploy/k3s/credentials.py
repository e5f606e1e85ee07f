#!/usr/bin/env python3
"""Make, rotate, save and restore the secrets of Flow Nexus in a Kubernetes cluster, and never print one.

It needs Python and a kubectl that reaches the cluster, nothing else. `--help` lists its commands.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlsplit

SYSTEM, FUNCTIONS, OPENFAAS = "flownexus", "openfaas-fn", "openfaas"  # namespaces
POSTGRES, NATS = "postgres.flownexus:5432/flownexus", "nats.flownexus:4222"
OWNER = "flownexus-owner-database-url"
NATS_URL = "flownexus-nats-url"
BASIC_AUTH = "basic-auth"
KUBECTL_TIMEOUT_S = 60
ROLLOUT_TIMEOUT_S = 300
SCRAM_ITERATIONS = 4096  # PostgreSQL's own default

Values: TypeAlias = dict[str, str]
"""What the keys of a Secret hold."""


class CredentialsError(RuntimeError):
    """The cluster, or what was asked for, makes it impossible."""


@dataclass(frozen=True)
class Workloads:
    """Who reads a secret, in one namespace; as kubectl names them."""

    namespace: str
    names: tuple[str, ...]


def functions(*names: str) -> Workloads:
    """Return functions as OpenFaaS deploys them."""
    return Workloads(FUNCTIONS, tuple(f"deployment/{name}" for name in names))


LESHAN = Workloads(SYSTEM, ("statefulset/leshan",))
CONNECTOR = Workloads(SYSTEM, ("deployment/connector",))
DOWNLOADS = Workloads(SYSTEM, ("deployment/downloads",))
GRAFANA = Workloads(SYSTEM, ("statefulset/grafana",))
INGEST = functions("ingest-single", "ingest-composite", "registration")
ALL_FUNCTIONS = functions(
    "ingest-single",
    "ingest-composite",
    "registration",
    "operations",
    "api",
    "dispatch-op",
    "housekeeping",
    "firmware",
    "console",
)


@dataclass(frozen=True)
class Token:
    """A bearer token: who checks it, and who of the cluster sends it; people send the others."""

    checkers: Workloads
    senders: Workloads | None = None


TOKENS = {
    "flownexus-webhook-token": Token(INGEST, LESHAN),
    "flownexus-connector-token": Token(functions("dispatch-op", "housekeeping", "firmware"), CONNECTOR),
    "flownexus-leshan-token": Token(LESHAN, functions("dispatch-op", "api", "housekeeping", "console")),
    "flownexus-api-token": Token(functions("operations", "api")),
    "flownexus-bootstrap-token": Token(functions("api"), LESHAN),
    "flownexus-hook-token": Token(INGEST),
}
ROLES = {
    "flownexus-ingest-database-url": (
        "flownexus_ingest",
        Workloads(FUNCTIONS, (*INGEST.names, *functions("api", "housekeeping").names)),
    ),
    "flownexus-dispatch-database-url": ("flownexus_dispatch", functions("dispatch-op")),
    "flownexus-api-database-url": ("flownexus_api", functions("operations", "api")),
    "flownexus-housekeeping-database-url": ("flownexus_housekeeping", functions("housekeeping")),
    "flownexus-firmware-database-url": ("flownexus_firmware", functions("firmware")),
    "flownexus-download-database-url": ("flownexus_download", DOWNLOADS),
    "flownexus-console-database-url": ("flownexus_console", functions("console")),
    "flownexus-grafana-database-url": ("flownexus_grafana", GRAFANA),
    "flownexus-reader-database-url": ("flownexus_reader", None),
    OWNER: ("postgres", None),
}
"""The role of each URL, and who logs in by it; the migration Job reads all of them."""
OF_CREDENTIALS = {
    "flownexus-credential-key": "",
    "flownexus-ca": "off",
    "flownexus-leshan-certificate": "off",
    "flownexus-oidc-client-secret": "off",
}
"""What credentials of devices are made by (docs/enrolment.md), and what it is at first; nothing is random."""
OF_STORE = ("flownexus-firmware-store-access-key", "flownexus-firmware-store-secret-key")
"""The keys of an object store, "off" at first: functions and the download server read them."""
OURS = {*TOKENS, *OF_CREDENTIALS, *OF_STORE, *ROLES, NATS_URL, BASIC_AUTH} | {
    "nats",
    "postgres",
    "leshan",
    "grafana",
}


@dataclass
class Cluster:
    """The Secrets of Flow Nexus, by namespace and name; kubectl is run here and nowhere else."""

    kubectl: str = "kubectl"
    found: dict[str, dict[str, Values]] = field(default_factory=dict)

    def load(self) -> None:
        """Read the Secrets that are there; those of others are left alone."""
        for namespace, cure in (
            (OPENFAAS, "install OpenFaaS"),
            (FUNCTIONS, "install OpenFaaS"),
            (SYSTEM, "run kubectl apply -f deploy/k3s/base/namespace.yaml"),
        ):
            if not self._run("get", "namespace", namespace, "--ignore-not-found", "-o", "name").strip():
                raise CredentialsError(f"there is no namespace {namespace}: {cure} first")
            self.found[namespace] = {
                item["metadata"]["name"]: {
                    key: base64.b64decode(value).decode() for key, value in item.get("data", {}).items()
                }
                for item in json.loads(self._run("get", "secrets", "-n", namespace, "-o", "json"))["items"]
                if item["metadata"]["name"] in OURS
            }

    def value(self, name: str, key: str = "") -> str | None:
        """Return what a Secret holds under a key, its own name by default, wherever it is."""
        for namespace in (SYSTEM, FUNCTIONS):
            if found := self.found[namespace].get(name, {}).get(key or name):
                return found
        return None

    def apply(self, namespace: str, objects: Mapping[str, Values]) -> list[str]:
        """Write Secrets, those that differ; return the names of these."""
        there = self.found[namespace]
        changed = {name: values for name, values in objects.items() if there.get(name) != values}
        if changed:
            items = [manifest(namespace, name, values) for name, values in changed.items()]
            # By the server: kubectl would keep a second copy of each in an annotation.
            self._run(
                *(
                    "apply",
                    "--server-side",
                    "--force-conflicts",
                    "--field-manager=flownexus-credentials",
                    "-f",
                    "-",
                ),
                given=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}),
            )
            there.update(changed)
        return sorted(changed)

    def restart(self, workloads: Workloads | None) -> None:
        """Restart workloads, those that are there, one after the other, and wait until each is ready."""
        if workloads is None:
            return
        there = ("-n", workloads.namespace)
        for name in workloads.names:
            if self._run("get", name, *there, "--ignore-not-found", "-o", "name").strip():
                say(f"restarting {name}")
                self._run("rollout", "restart", name, *there)
                wait = f"--timeout={ROLLOUT_TIMEOUT_S}s"
                self._run("rollout", "status", name, *there, wait, timeout=ROLLOUT_TIMEOUT_S + 30)

    def sql(self, statement: str) -> None:
        """Let PostgreSQL's superuser run a statement, in PostgreSQL's own pod."""
        psql = ("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres")
        self._run("exec", "-i", "-n", SYSTEM, "postgres-0", "--", *psql, given=statement)

    def _run(self, *arguments: str, given: str = "", timeout: float = KUBECTL_TIMEOUT_S) -> str:
        """Run kubectl; a secret reaches it by its standard input alone."""
        try:
            done = subprocess.run(  # noqa: S603  # the program that the command line names
                [self.kubectl, *arguments],
                input=given,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except OSError as error:
            raise CredentialsError(f"{self.kubectl} cannot be run: {error.strerror}") from error
        except subprocess.TimeoutExpired:
            raise CredentialsError(f"kubectl {arguments[0]} took longer than {timeout:.0f} s") from None
        if done.returncode != 0:
            what = " ".join(arguments[:3])
            raise CredentialsError(f"kubectl {what} failed:\n{self._without_secrets(done.stderr, given)}")
        return done.stdout

    def _without_secrets(self, text: str, given: str) -> str:
        """Return what kubectl printed; if it repeats anything of what it was given, nothing of it."""
        words = set(re.findall(r"[\w+/=-]{16,}", given))
        return "(left out: it repeats a secret)" if any(word in text for word in words) else text.strip()


def manifest(namespace: str, name: str, values: Values) -> dict[str, Any]:
    """Return a Secret as Kubernetes reads it; `faas-cli secret list` shows those of functions."""
    labels = {"app.kubernetes.io/part-of": SYSTEM}
    if namespace == FUNCTIONS:
        labels["app.kubernetes.io/managed-by"] = "openfaas"
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


# What is wanted: pure.


def random_text() -> str:
    """Return 256 random bits that need no quoting anywhere."""
    return secrets.token_urlsafe(32)


def database_url(role: str, password: str) -> str:
    """Return a role's URL of the database."""
    return f"postgresql://{role}:{quote(password, safe='')}@{POSTGRES}"


def nats_url(password: str) -> str:
    """Return NATS's URL."""
    return f"nats://flownexus:{quote(password, safe='')}@{NATS}"


def password_of(url: str) -> str:
    """Return the password of a URL that one of the two above made."""
    return urlsplit(url).password or ""


def namespaces_of(name: str) -> set[str]:
    """Return the namespaces in which somebody reads a secret."""
    if name in TOKENS:
        token = TOKENS[name]
        return {part.namespace for part in (token.checkers, token.senders) if part}
    if name in ROLES:
        readers = ROLES[name][1]
        return {SYSTEM} | ({readers.namespace} if readers else set())
    return {SYSTEM, FUNCTIONS}


def made(cluster: Cluster) -> Values:
    """Return the value of each secret that has one: what is there, and the rest made up."""
    values = {name: cluster.value(name) or random_text() for name in TOKENS if name != "flownexus-hook-token"}
    values["flownexus-hook-token"] = cluster.value("flownexus-hook-token") or "off"
    for name, (role, _) in ROLES.items():
        values[name] = cluster.value(name) or database_url(role, random_text())
    values |= {name: cluster.value(name) or "off" for name in OF_STORE}
    values[NATS_URL] = cluster.value(NATS_URL) or nats_url(random_text())
    return values


def objects(cluster: Cluster, values: Values) -> dict[str, dict[str, Values]]:
    """Return the Secrets by namespace and name, of the value of each secret."""
    wanted: dict[str, dict[str, Values]] = {SYSTEM: {}, FUNCTIONS: {}}
    for name, value in values.items():
        for namespace in namespaces_of(name):
            wanted[namespace][name] = {name: value}
    user = json.dumps({"user": "flownexus", "password": password_of(values[NATS_URL])})
    wanted[SYSTEM]["nats"] = {"authorization.conf": f"authorization: {user}\n"}
    wanted[SYSTEM]["postgres"] = {"postgres-password": password_of(values[OWNER])}
    key = "flownexus-leshan-sessions-key"
    wanted[SYSTEM]["leshan"] = {key: cluster.value("leshan", key) or random_text()}
    for name, first in OF_CREDENTIALS.items():
        wanted[FUNCTIONS][name] = {name: cluster.value(name) or first or random_text()}
    wanted[SYSTEM]["grafana"] = {
        "flownexus-grafana-password": password_of(values["flownexus-grafana-database-url"]),
        **{
            key: cluster.value("grafana", key) or random_text()
            for key in ("grafana-admin-password", "grafana-secret-key")
        },
    }
    try:
        login = cluster.found[OPENFAAS][BASIC_AUTH]
        wanted[SYSTEM][BASIC_AUTH] = {key: login[key] for key in ("basic-auth-user", "basic-auth-password")}
    except KeyError:
        raise CredentialsError(
            f"OpenFaaS's Secret {BASIC_AUTH} is not in the namespace {OPENFAAS}: install OpenFaaS first"
        ) from None
    return wanted


def holder_of(line: str) -> str:
    """Return the name that follows a token in its line; nothing where none does."""
    return (line.split()[1:2] or [""])[0]


def with_new_token(lines: list[str], holder: str, token: str) -> list[str]:
    """Add a token of a holder after those that are there: it is let in, and not yet sent."""
    [line] = lines_of(lines, holder, 1)
    rights = line.split()[1:]
    return [*lines, " ".join([token, *rights])]


def newest_first(lines: list[str], holder: str) -> list[str]:
    """Put a holder's newer token before the older one: it is sent from now on."""
    older, newer = lines_of(lines, holder, 2)
    return [newer if line == older else older if line == newer else line for line in lines]


def without_older(lines: list[str], holder: str) -> list[str]:
    """Drop a holder's older token, which is the second one since newest_first()."""
    _, older = lines_of(lines, holder, 2)
    return [line for line in lines if line != older]


def lines_of(lines: Iterable[str], holder: str, count: int) -> list[str]:
    """Return the lines of a holder; raise CredentialsError unless there are as many as expected."""
    found = [line for line in lines if holder_of(line) == holder]
    if len(found) != count:
        whose = f"the holder {holder!r}" if holder else "the holder without a name"
        remedy = {1: "retire the older one first", 2: "rotate it first"}[count]
        raise CredentialsError(f"{whose} has {len(found)} tokens" + (f": {remedy}" if found else ""))
    return found


def scram_verifier(password: str, salt: bytes) -> str:
    """Return what PostgreSQL keeps of a password (RFC 5803), so that it is in no statement and no log."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    first, second, third = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{first}${second}:{third}"


def set_password(role: str, password: str) -> str:
    """Return the statement that sets a role's password."""
    return f"ALTER ROLE {role} LOGIN PASSWORD '{scram_verifier(password, secrets.token_bytes(16))}';\n"


# The commands.


def make(cluster: Cluster) -> None:
    """Make the secrets that are missing, and write what follows from those that are there."""
    for namespace, wanted in objects(cluster, made(cluster)).items():
        # In a rotation under way the copies of a token differ.
        there = {name: values for name, values in cluster.found[namespace].items() if name in TOKENS}
        for name in cluster.apply(namespace, wanted | there):
            say(f"wrote {name} in {namespace}")


def rotate(cluster: Cluster, name: str, holder: str) -> None:
    """Give a secret a new value. A token's old one is valid until `retire`."""
    if name in TOKENS:
        _rotate_token(cluster, name, holder)
        return
    values = made(cluster)
    if name in ROLES:
        role, readers = ROLES[name]
        values[name] = database_url(role, random_text())
        cluster.sql(set_password(role, password_of(values[name])))  # first: it is what may fail
        _write(cluster, values)
        cluster.restart(readers)
    elif name == NATS_URL:
        values[name] = nats_url(random_text())
        _write(cluster, values)
        cluster.restart(Workloads(SYSTEM, ("statefulset/nats",)))
        cluster.restart(ALL_FUNCTIONS)
        cluster.restart(CONNECTOR)
    else:
        raise CredentialsError(f"there is no secret {name!r} to rotate; those are {', '.join(rotatable())}")
    say(f"rotated {name}")


def _rotate_token(cluster: Cluster, name: str, holder: str) -> None:
    """Let a new token in first, send it then. After a failure, the same command goes on where it was."""
    token = TOKENS[name]
    lines = _lines(cluster, token.checkers.namespace, name)
    if lines == ["off"]:
        raise CredentialsError(f"{name} is off: `set` gives it a first token")
    if token.senders is None:  # people send it, each when they have the new one
        if len([line for line in lines if holder_of(line) == holder]) != 2:
            _put(cluster, name, newest_first(with_new_token(lines, holder, random_text()), holder))
        cluster.restart(token.checkers)
    else:
        sent = _lines(cluster, token.senders.namespace, name)
        if lines == sent and len([line for line in lines if holder_of(line) == holder]) != 2:
            lines = with_new_token(lines, holder, random_text())
            _put(cluster, name, lines, token.checkers.namespace)
        if lines != sent:
            cluster.restart(token.checkers)
            _put(cluster, name, newest_first(lines, holder))
        cluster.restart(token.senders)
    say(f"{name}: both tokens are let in, the new one is sent; end the old one by: retire {name}")


def retire(cluster: Cluster, name: str, holder: str) -> None:
    """Drop the older token of a rotation: who still sends it is refused from now on."""
    if name not in TOKENS:
        raise CredentialsError(f"{name!r} has no second value; tokens are {', '.join(TOKENS)}")
    token = TOKENS[name]
    lines = _lines(cluster, token.checkers.namespace, name)
    if any(_lines(cluster, namespace, name) != lines for namespace in namespaces_of(name)):
        raise CredentialsError(f"the rotation of {name} has not ended: rotate it again first")
    _put(cluster, name, without_older(lines, holder))
    cluster.restart(token.checkers)
    say(f"{name}: the older token is refused")


def set_line(cluster: Cluster, name: str, holder: str, scopes: list[str]) -> None:
    """Give a holder a first token of a secret, with scopes or with all of them."""
    if name not in TOKENS:
        raise CredentialsError(f"{name!r} is no token; tokens are {', '.join(TOKENS)}")
    token = TOKENS[name]
    lines = [line for line in _lines(cluster, token.checkers.namespace, name) if line != "off"]
    if any(holder_of(line) == holder for line in lines):
        raise CredentialsError(f"{holder or 'the holder without a name'!r} has a token: rotate it")
    if scopes and not holder:
        raise CredentialsError("scopes are of a holder with a name")
    lines.append(" ".join([random_text(), *filter(None, [holder]), *scopes]))
    _put(cluster, name, lines)
    cluster.restart(token.checkers)
    say(f"{name}: {holder or 'the holder without a name'} has a token")


def save(cluster: Cluster, name: str, holder: str, path: Path) -> None:
    """Write a secret, of a token the newest of a holder, to a file that only its owner can read."""
    secret, _, key = name.partition("/")
    value = cluster.value(secret, key)
    if value is None:
        raise CredentialsError(f"there is no secret {name!r}")
    if secret in TOKENS:
        of_holder = [line for line in value.splitlines() if holder_of(line) == holder]
        if not of_holder:
            raise CredentialsError(f"{name} has no token of {holder!r}")
        value = of_holder[0]
    write_private(path, value + "\n")
    say(f"wrote {name} to {path}")


def backup(cluster: Cluster, path: Path) -> None:
    """Write all secrets to a file that only its owner can read."""
    kept = {namespace: cluster.found[namespace] for namespace in (SYSTEM, FUNCTIONS)}
    write_private(path, json.dumps(kept, indent=1, sort_keys=True) + "\n")
    say(f"wrote {sum(map(len, kept.values()))} secrets to {path}")


def restore(cluster: Cluster, path: Path) -> None:
    """Write the secrets of a backup into the cluster; OpenFaaS's own login stays as it is."""
    try:
        kept: dict[str, dict[str, Values]] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise CredentialsError(f"{path} is no backup of secrets") from None
    kept[SYSTEM].pop(BASIC_AUTH, None)
    for namespace, restored in kept.items():
        for name in cluster.apply(namespace, restored):
            say(f"wrote {name} in {namespace}")
    make(cluster)


def rotatable() -> tuple[str, ...]:
    """Return the names that rotate() takes."""
    return (*TOKENS, *ROLES, NATS_URL)


def _write(cluster: Cluster, values: Values) -> None:
    for namespace, wanted in objects(cluster, values).items():
        cluster.apply(namespace, {name: of for name, of in wanted.items() if name not in TOKENS})


def _lines(cluster: Cluster, namespace: str, name: str) -> list[str]:
    try:
        return cluster.found[namespace][name][name].splitlines()
    except KeyError:
        raise CredentialsError(f"there is no {name} in {namespace}: run `make` first") from None


def _put(cluster: Cluster, name: str, lines: list[str], only: str = "") -> None:
    """Write a token's lines to all its copies, or to that of one namespace."""
    for namespace in [only] if only else namespaces_of(name):
        cluster.apply(namespace, {name: {name: "\n".join(lines)}})


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(path)


def say(text: str) -> None:
    """Tell what was done; never what a secret is."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(prog="credentials.py", description=__doc__)
    top.add_argument("--kubectl", default="kubectl", help="the program (default: kubectl)")
    commands = top.add_subparsers(dest="command", required=True)
    whose = argparse.ArgumentParser(add_help=False)
    whose.add_argument("name", metavar="SECRET")
    whose.add_argument(
        "--holder", default="", help="the name in the token's line; without: the line without one"
    )
    commands.add_parser("make", help="make what is missing; changes nothing that is there")
    commands.add_parser("rotate", parents=[whose], help="give a secret a new value")
    commands.add_parser("retire", parents=[whose], help="drop the older token of a rotation")
    setting = commands.add_parser("set", parents=[whose], help="give a holder a token of its own")
    setting.add_argument("--scope", action="append", default=[], help="what it may do; again for more")
    saving = commands.add_parser("save", parents=[whose], help="write a secret to a file of mode 0600")
    saving.add_argument("file", type=Path)
    for command, what in (("backup", "write all secrets to a file"), ("restore", "read such a file")):
        commands.add_parser(command, help=what).add_argument("file", type=Path)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    given = parser().parse_args(arguments)
    cluster = Cluster(given.kubectl)
    try:
        cluster.load()
        match given.command:
            case "make":
                make(cluster)
            case "rotate":
                rotate(cluster, given.name, given.holder)
            case "retire":
                retire(cluster, given.name, given.holder)
            case "set":
                set_line(cluster, given.name, given.holder, given.scope)
            case "save":
                save(cluster, given.name, given.holder, given.file)
            case "backup":
                backup(cluster, given.file)
            case "restore":
                restore(cluster, given.file)
    except (CredentialsError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
