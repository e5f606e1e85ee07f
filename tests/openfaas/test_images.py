"""The images: small, one layer of packages for all, no tools of a build, no root, nothing written."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from deploy.images.contexts import BUILD, copy_function
from local import web
from local.openfaas.stack import read_stack
from local.supervise.process import Command
from tests.fixtures.nexus import wait_for
from tests.openfaas.bases import JAVA_BASE, PYTHON_BASE, inspect
from tests.openfaas.cluster import IMAGES, USER, Cluster
from tests.openfaas.containers import SECRETS, Containerd, run
from tests.openfaas.places import BUILD_TIMES, CACHE, REPOSITORY

FUNCTIONS = sorted(read_stack(REPOSITORY / "stack.yml", {}))
PYTHON_IMAGES = [*FUNCTIONS, "connector", "downloads", "migrate"]
MAX_FUNCTION_BYTES = 120_000_000
"""Above the base image."""
MAX_START_S = 1.0
TOOLS = ("gcc", "cc", "make", "ld", "as")
PLACES = ("/home/app/x", "/x", "/var/tmp/x", f"{SECRETS}/x", "/tmp/x")
LOOK = f"""
import json, os, sys
from pathlib import Path

def write(place):
    try:
        Path(place).write_text("x")
    except OSError as error:
        return error.strerror
    return "yes"

print(json.dumps({{
    "ids": [os.getuid(), os.getgid()],
    "secret": Path("{SECRETS}/some-secret").read_text(),
    "written": {{place: write(place) for place in sys.argv[1:]}},
}}))
"""
GRAPH = CACHE / "graph"


def layers(reference: str) -> list[str]:
    found: list[str] = inspect(reference)["rootfs"]["diff_ids"]
    return found


def size(reference: str) -> int:
    """Return the bytes of all layers of an image, unpacked."""
    known = json.loads((GRAPH / "overlay-layers" / "layers.json").read_text())
    by_digest = {layer.get("diff-digest"): layer["diff-size"] for layer in known}
    return sum(by_digest[digest] for digest in layers(reference))


def finish(command: Command) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command.arguments,
        env=command.full_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_s_image_is_small(name: str) -> None:
    above = size(IMAGES[name]) - size(PYTHON_BASE)
    print(f"{name}: {above / 1e6:.1f} MB above the base of {size(PYTHON_BASE) / 1e6:.1f} MB,"
          f" built in {json.loads(BUILD_TIMES.read_text())[name]} s")  # fmt: skip
    assert 0 < above < MAX_FUNCTION_BYTES


@pytest.mark.parametrize("name", ["connector", "downloads", "migrate", "leshan"])
def test_the_other_images_are_small_too(name: str) -> None:
    base = JAVA_BASE if name == "leshan" else PYTHON_BASE
    above = size(IMAGES[name]) - size(base)
    print(f"{name}: {above / 1e6:.1f} MB above the base of {size(base) / 1e6:.1f} MB,"
          f" built in {json.loads(BUILD_TIMES.read_text())[name]} s")  # fmt: skip
    assert 0 < above < MAX_FUNCTION_BYTES


def test_all_python_images_share_the_base_and_the_layer_of_packages() -> None:
    base = layers(PYTHON_BASE)
    begins = {tuple(layers(IMAGES[name])[: len(base) + 2]) for name in PYTHON_IMAGES}
    assert len(begins) == 1
    assert next(iter(begins))[: len(base)] == tuple(base)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_our_context_of_a_function_is_that_of_faas_cli(name: str, tmp_path: Path) -> None:
    """BUILD has what the real faas-cli laid out, with which the images were built."""
    ours = tmp_path / "context"
    copy_function(read_stack(REPOSITORY / "stack.yml", {})[name], ours)
    for cache in (BUILD / name).rglob("__pycache__"):
        shutil.rmtree(cache)
    compare = [filecmp.dircmp(BUILD / name, ours)]
    while compare:
        pair = compare.pop()
        assert (pair.left_only, pair.right_only, pair.diff_files, pair.funny_files) == ([], [], [], [])
        compare += pair.subdirs.values()


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_has_neither_a_compiler_nor_a_cache_of_pip_and_is_for_another_than_root(name: str) -> None:
    known = json.loads((GRAPH / "overlay-layers" / "layers.json").read_text())
    folders = {layer["diff-digest"]: GRAPH / "overlay" / layer["id"] / "diff" for layer in known}
    for digest in layers(IMAGES[name]):
        folder = folders[digest]
        assert not list(folder.glob("root/.cache/*")) + list(folder.glob("home/app/.cache"))
        assert not [
            tool
            for tool in TOOLS
            for place in ("usr/bin", "usr/local/bin")
            if (folder / place / tool).exists()
        ]
    assert inspect(IMAGES[name])["config"]["User"] == f"{USER}:{USER}"


@pytest.mark.parametrize("name", [*FUNCTIONS, "connector"])
def test_a_container_reads_its_secrets_and_can_write_nothing_but_tmp(
    containerd: Containerd, name: str, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "some-secret").write_text("known")
    done = finish(
        run(
            IMAGES[name],
            f"look.{name}",
            {},
            secrets=secrets,
            containerd=containerd.environment,
            command=("python3", "-c", LOOK, *PLACES),
        )
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "ids": [USER, USER],
        "secret": "known",
        "written": dict.fromkeys(PLACES[:-1], "Read-only file system") | {"/tmp/x": "yes"},
    }


@pytest.mark.parametrize("name", [*FUNCTIONS, "leshan", "connector"])
def test_a_part_that_runs_is_not_root_and_its_root_file_system_is_read_only(
    cluster: Cluster, name: str
) -> None:
    for container, pid in cluster.containers(name).items():
        status = Path(f"/proc/{pid}/status").read_text()
        ids = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert ids["Uid"].split() == [str(USER)] * 4
        assert ids["Gid"].split() == [str(USER)] * 4
        assert int(ids["CapEff"], 16) == 0
        assert ids["NoNewPrivs"] == "1"
        assert cluster.containerd.info(container)["Spec"]["root"]["readonly"] is True
        [root] = [
            line for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines() if line.split()[4] == "/"
        ]
        assert "ro" in root.split()[5].split(",")
    assert cluster.containers(name)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_ready_within_a_second_of_its_start(cluster: Cluster, name: str) -> None:
    """From the start of the container's process to the first 200 of /_/ready, on a processor of its own.

    What it waits for a processor that others use is not the image's doing, and is printed alone.
    """
    starts = [start_to_ready(cluster, name) for _ in range(3)]
    elapsed, worked = (min(each) for each in zip(*starts, strict=True))
    print(f"{name}: ready after {elapsed:.2f} s, {worked:.2f} s of them on a processor")
    assert worked < MAX_START_S


def start_to_ready(cluster: Cluster, name: str) -> tuple[float, float]:
    """Kill the only replica; return what the next one takes, and its processor time, in seconds."""
    [replica] = cluster.replicas(name)
    before = cluster.containers(f"{name}-")
    [pid] = before.values()
    os.kill(pid, signal.SIGKILL)

    def another_is_ready() -> bool:
        """Ask for the port each time: the first start may fail, and the next one has another."""
        port = cluster.replicas(name)[0]["port"]
        return port != replica["port"] and is_ready(port)

    wait_for(another_is_ready, 60, f"{name} to be ready", interval=0.005)
    ready = time.clock_gettime(time.CLOCK_BOOTTIME)
    [started] = (pid for id_, pid in cluster.containers(f"{name}-").items() if id_ not in before)
    worked = sum(int(field) for field in stat(started)[11:13]) / os.sysconf("SC_CLK_TCK")
    cluster.await_functions()
    return ready - int(stat(started)[19]) / os.sysconf("SC_CLK_TCK"), worked


def is_ready(port: int) -> bool:
    try:
        return web.request(port, "GET", "/_/ready", timeout=1)[0] == 200
    except OSError:
        return False


def stat(pid: int) -> list[str]:
    """Return what proc(5) says of a process, from its state on; times in ticks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def test_memory_of_each_part_at_rest(cluster: Cluster) -> None:
    for name in (*FUNCTIONS, "connector", "leshan"):
        for pid in cluster.containers(name).values():
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            kilobytes = {line.split()[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
            pss, rss = kilobytes["Pss:"] / 1000, kilobytes["Rss:"] / 1000
            print(f"{name}: {rss:.0f} MB resident, {pss:.0f} MB of it its share")
            assert rss < (700 if name == "leshan" else 120)
