"""What is killed, and when."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

import psycopg

from local import REPOSITORY
from local.openfaas.stack import read_stack
from local.world import World, WorldError

PAUSE: Final = (2.0, 5.0)
"""Seconds between two kills: at least, at most."""
PATIENCE: Final = 30.0
"""Seconds in which what was killed before must be there again, to be killed once more."""
POLL_INTERVAL: Final = 0.1
FUNCTIONS: Final = tuple(read_stack(REPOSITORY / "stack.yml", {}))


@dataclass(frozen=True)
class Kill:
    """A kill that is due so many seconds after the beginning."""

    at: float
    victim: str


def schedule(random: Random, seconds: float) -> list[Kill]:
    """Return kills in random order, every few seconds; all have their first turn before any has a second."""
    kills: list[Kill] = []
    deck: list[str] = []
    at = random.uniform(*PAUSE)
    while at < seconds:
        deck = deck or random.sample(sorted(VICTIMS), len(VICTIMS))
        kills.append(Kill(at, deck.pop()))
        at += random.uniform(*PAUSE)
    return kills


def kill(world: World, victim: str, random: Random) -> str:
    """Kill a victim, waiting for it if it is not up yet; return what was done, nothing if it stays away."""
    deadline = time.monotonic() + PATIENCE
    while True:
        done = VICTIMS[victim](world, random)
        if done or time.monotonic() > deadline:
            return done
        time.sleep(POLL_INTERVAL)


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _part(name: str, number: signal.Signals) -> Callable[[World, Random], str]:
    def end(world: World, _: Random) -> str:
        pid = world.parts[name].process.pid
        return f"{number.name} to {name}, {pid}" if pid and _signal(pid, number) else ""

    return end


def _replicas(function: str) -> Callable[[World, Random], str]:
    def end(world: World, _: Random) -> str:
        try:
            found = [replica["pid"] for replica in world.replicas(function) if replica["pid"]]
        except (OSError, WorldError):
            return ""  # the gateway is being started
        killed = [str(pid) for pid in found if _signal(pid, signal.SIGKILL)]
        return f"SIGKILL to {function}, {' and '.join(killed)}" if killed else ""

    return end


def _backend(world: World, random: Random) -> str:
    """Kill a process of PostgreSQL's that serves a function; PostgreSQL then ends all others and recovers."""
    try:
        with psycopg.connect(world.database_url, connect_timeout=5) as connection:
            found = connection.execute(
                "SELECT pid, application_name FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND starts_with(application_name, 'flownexus ')"
                " ORDER BY pid"
            ).fetchall()
            if not found:
                return ""
            pid, name = random.choice(found)
            return (
                f"SIGKILL to PostgreSQL's backend for {name}, {pid}" if _signal(pid, signal.SIGKILL) else ""
            )
    except psycopg.OperationalError:
        return ""


VICTIMS: Final[Mapping[str, Callable[[World, Random], str]]] = {
    **{f"function {name}": _replicas(name) for name in FUNCTIONS},
    "leshan": _part("leshan", signal.SIGKILL),
    "gateway": _part("gateway", signal.SIGKILL),
    "connector": _part("connector", signal.SIGKILL),
    "downloads": _part("downloads", signal.SIGKILL),
    "nats": _part("nats", signal.SIGKILL),
    "nats, restarted": _part("nats", signal.SIGTERM),
    "postgres backend": _backend,
    "postgres, restarted fast": _part("postgres", signal.SIGINT),
    "postgres, restarted immediately": _part("postgres", signal.SIGQUIT),
}
"""Each way to end a part; returns what was done, or nothing where there was no such process."""
