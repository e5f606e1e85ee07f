"""make test-openfaas: build everything, then run the tests in a network namespace of their own.

The gateway listens on ports 8080 and 8082 whatever it is told, so that it needs a network to itself; and so
it is shown that nothing of the tests needs another.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys

from tests.openfaas.bases import PrepareError
from tests.openfaas.places import ARCHIVES, CACHE, ENABLED, REPOSITORY, unmount_storage
from tests.openfaas.prepare import prepare
from tests.openfaas.prerequisites import missing

TESTS = "tests/openfaas"
TESTS_TIMEOUT_S = 3600


def main() -> int:
    """Return pytest's exit status, or 1 with what is missing."""
    if lines := missing():
        sys.stderr.write("test-openfaas lacks:\n" + "".join(f"  {line}\n" for line in lines))
        return 1
    CACHE.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write("test-openfaas is running in this checkout already\n")
            return 1
        try:
            prepare()
            return _test(sys.argv[1:])
        except PrepareError as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        finally:
            shutil.rmtree(ARCHIVES, ignore_errors=True)
            unmount_storage()


def _test(arguments: list[str]) -> int:
    if not any(each.startswith(TESTS) for each in arguments):
        arguments = [*arguments, TESTS]
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *pytest],
        cwd=REPOSITORY,
        env={**os.environ, ENABLED: "1"},
        check=False,
        timeout=TESTS_TIMEOUT_S,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
