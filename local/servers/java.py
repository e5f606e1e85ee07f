"""Find a JDK and build the Leshan server and the simulator when their sources are newer than the jars."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from local import REPOSITORY

LESHAN = REPOSITORY / "leshan"
SERVER_JAR = LESHAN / "server" / "target" / "leshan-server.jar"
SIMULATOR_JAR = LESHAN / "simulator" / "target" / "leshan-simulator.jar"
MINIMUM = 17
INSTALL = "sudo apt-get install openjdk-17-jdk-headless maven"


class JavaError(RuntimeError):
    """Java's part cannot be built or run."""


def java() -> str:
    """Return the path of a Java that is new enough."""
    home = os.environ.get("JAVA_HOME", "")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else None
    found = found or shutil.which("java")
    if found is None:
        raise JavaError(f"java was not found: Leshan needs a JDK of version {MINIMUM} or newer\n  {INSTALL}")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    if match is None or int(match[1]) < MINIMUM:
        version = match[1] if match else "unknown"
        raise JavaError(f"{found} is version {version}: version {MINIMUM} or newer is needed\n  {INSTALL}")
    return found


def stale(jar: Path) -> bool:
    """Say whether a jar is missing or older than what it is made of."""
    if not jar.exists():
        return True
    module = jar.parent.parent
    sources = [LESHAN / "pom.xml", module / "pom.xml", *(module / "src" / "main").rglob("*")]
    return max(path.stat().st_mtime for path in sources if path.is_file()) > jar.stat().st_mtime


def build(log: Path, progress: Callable[[str], None]) -> None:
    """Build the jars if need be."""
    java()
    # One build at a time in this checkout, whichever world asks for it.
    with (LESHAN / "pom.xml").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not any(map(stale, (SERVER_JAR, SIMULATOR_JAR))):
            return
        for tool in ("mvn", "javac"):
            if shutil.which(tool) is None:
                raise JavaError(f"{tool} was not found: it builds the Leshan server\n  {INSTALL}")
        progress("building the Java parts, which takes about a minute")
        command = ["mvn", "-q", "-B", "-f", str(LESHAN / "pom.xml"), "package", "-DskipTests"]
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with log.open("wb") as output:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
            )
        if done.returncode != 0:
            lines = log.read_text(errors="replace").strip().splitlines()
            errors = [line for line in lines if "ERROR" in line] or lines
            shown = "\n".join(f"  {line}" for line in errors[:12])
            raise JavaError(f"the build of Leshan failed (log: {log}):\n{shown}")
        for jar in (SERVER_JAR, SIMULATOR_JAR):
            # Maven may find a jar's inputs unchanged and leave it: then it is as new as they are.
            if not jar.exists():
                raise JavaError(f"the build of Leshan did not make {jar} (log: {log})")
            os.utime(jar)
        progress("built the Java parts")
