"""Fork replicas of functions from a process that has imported what they need, so that they share its memory.

A program of its own, started by local.openfaas.forking with the folder of the template's server and the
modules to import. It imports nothing of `local`: the library on its path may be another version's.

Requests come over the socket that is its standard input, each with the descriptors of the replica's output
and of its report. A replica reports its process id and a pidfd of it; when it has ended, this process
reports its status. It serves until the socket is closed, and then until the last replica has ended.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MAX_REQUEST = 1024 * 1024  # bytes; the socket itself takes no more than 208 KiB, if nobody has raised it
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


@dataclass(frozen=True)
class Forked:
    """What a replica is to become, and where its output and its report go."""

    asked: dict[str, Any]
    output: int
    report: socket.socket


def main() -> None:
    """Import, serve, and in a replica become the function's server."""
    template, *modules = sys.argv[1:]
    sys.path[0] = template
    server = importlib.import_module("index")
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001  # the function that needs it will say so in its own log
            sys.stderr.write(f"{name} is not imported beforehand: {error!r}\n")
    gc.collect()
    gc.freeze()  # a collection in a replica does not write to what it shares
    forked = serve()
    if forked is not None:
        become(forked)
        server.main()


def serve() -> Forked | None:
    """Fork as asked. Return what it is to become in each replica, and None here once all is done."""
    requests = socket.socket(fileno=os.dup(0))
    reports: dict[int, socket.socket] = {}  # of the replicas, by pidfd
    asks = True
    while asks or reports:
        watched: list[int | socket.socket] = [*reports, *([requests] if asks else [])]
        for each in select.select(watched, [], [])[0]:
            if isinstance(each, int):
                _report_end(each, reports.pop(each))
                continue
            asked, descriptors, _, _ = socket.recv_fds(requests, MAX_REQUEST, 2)
            if not asked:
                asks = False
                continue
            forked = Forked(json.loads(asked), descriptors[0], socket.socket(fileno=descriptors[1]))
            us = os.getpid()
            try:
                pid = os.fork()
            except OSError as error:  # of memory or processes there are no more: the others live on
                os.close(forked.output)
                _report(forked.report, {"error": str(error)})
                continue
            if pid == 0:
                _tether(us, str(forked.asked["name"]))
                for ours in (requests, *reports.values()):
                    ours.close()
                for pidfd in reports:
                    os.close(pidfd)
                return forked
            os.close(forked.output)
            reports[os.pidfd_open(pid)] = forked.report
    return None


def _report_end(pidfd: int, report: socket.socket) -> None:
    """Take a replica's status from the kernel and report it: its exit status, or minus its signal."""
    ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    assert ended is not None  # noqa: S101  # for the type checker: without WNOHANG there is one
    status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    os.close(pidfd)
    _report(report, {"status": status})


def _report(report: socket.socket, what: dict[str, Any]) -> None:
    """Report the last that there is to say of a replica."""
    with report:
        try:
            report.send(json.dumps(what).encode())
        except OSError:  # nobody asks any more
            return


def _tether(parent: int, name: str) -> None:
    """End with the parent, lead a session and have a name that ps shows."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(0)  # it is gone already
    os.setsid()
    libc.prctl(_PR_SET_NAME, name.encode())


def become(forked: Forked) -> None:
    """Take on the replica's environment, folder and output, and report that it has begun."""
    os.environ.clear()
    os.environ.update(forked.asked["environment"])
    os.chdir(forked.asked["folder"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in ((nothing, 0), (forked.output, 1), (forked.output, 2)):
        os.dup2(descriptor, standard)
    os.close(nothing)
    os.close(forked.output)
    _report_begin(forked.report)


def _report_begin(report: socket.socket) -> None:
    own: Sequence[int] = [os.pidfd_open(os.getpid())]
    with report:
        socket.send_fds(report, [json.dumps({"pid": os.getpid()}).encode()], own)
    os.close(own[0])


if __name__ == "__main__":
    main()
