package io.flownexus.leshan.server.spool;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.flownexus.leshan.server.base.Metrics;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The spool where the table of mount points does not show that of its folder. */
class WithoutMountPointTest {

  // The process keeps its id, and so its table of mount points, over an exec.
  private static final String HIDE = "mount --bind \"$1\" /proc/$$/mounts && shift && exec \"$@\"";

  @TempDir Path folder;

  @Test
  void spool_opens_without_a_mount_point() throws Exception {
    Path none = Files.createFile(folder.resolve("none"));
    Assumptions.assumeTrue(
        run("unshare", "-m", "sh", "-c", HIDE, "sh", none.toString(), "true"),
        "no right to hide mount points");
    boolean opened =
        run(
            "unshare",
            "-m",
            "sh",
            "-c",
            HIDE,
            "sh",
            none.toString(),
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-cp",
            System.getProperty("java.class.path"),
            Opening.class.getName(),
            folder.resolve("spool.db").toString());
    assertEquals(true, opened, Files.readString(folder.resolve("log"), StandardCharsets.UTF_8));
  }

  private boolean run(String... command) throws Exception {
    Process process =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(folder.resolve("log").toFile())
            .start();
    return process.waitFor(30, TimeUnit.SECONDS) && process.exitValue() == 0;
  }

  /** A process that opens a spool and closes it. */
  static final class Opening {

    private Opening() {}

    public static void main(String[] arguments) {
      Journal journal = new Journal(Path.of(arguments[0]), new Metrics());
      journal.start();
      journal.close();
      System.exit(journal.ready() ? 0 : 1);
    }
  }
}
