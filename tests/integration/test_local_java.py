"""How the local world runs Java."""

from __future__ import annotations

import subprocess
from pathlib import Path

from local.parts import leshan_jvm
from local.servers import java

# Its thread dies of the error and everything else goes on, as a server's does.
PROGRAM = """
public class Hungry {
  public static void main(String[] arguments) throws Exception {
    Thread thread = new Thread(() -> { byte[] all = new byte[1 << 30]; System.out.println(all.length); });
    thread.start();
    thread.join();
    System.out.println("goes on");
  }
}
"""
OUT_OF_MEMORY = 3  # HotSpot's exit code


def test_leshan_ends_when_one_of_its_threads_is_out_of_memory(tmp_path: Path) -> None:
    source = tmp_path / "Hungry.java"
    source.write_text(PROGRAM)
    done = subprocess.run(
        [java.java(), *leshan_jvm(512), str(source)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == OUT_OF_MEMORY, done.stdout
    assert "goes on" not in done.stdout
