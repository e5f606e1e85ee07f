package io.flownexus.leshan.server.webhook;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UptimeTest {

  private static final long START = 1_795_344_335_000L;

  @TempDir Path folder;
  private long now = START;
  private boolean accepting = true;

  private Uptime uptime(Path file) {
    return new Uptime(file, () -> accepting, Duration.ofSeconds(30), () -> now);
  }

  private static long beat(Uptime uptime) {
    uptime.beat();
    return uptime.since();
  }

  @Test
  void gap_that_retransmissions_bridge_is_none() {
    Uptime uptime = uptime(null);
    now += 30_000;
    assertEquals(START, beat(uptime));
  }

  @Test
  void server_that_was_halted_for_longer_has_heard_devices_only_since() {
    Uptime uptime = uptime(null);
    now += 30_001;
    assertEquals(now + Uptime.SETTLE_MILLIS, beat(uptime));
  }

  @Test
  void time_in_which_devices_are_refused_is_a_gap() {
    Uptime uptime = uptime(null);
    accepting = false;
    for (int second = 0; second < 40; second++) {
      now += 1000;
      assertEquals(START, beat(uptime));
    }
    accepting = true;
    assertEquals(now + Uptime.SETTLE_MILLIS, beat(uptime));
  }

  @Test
  void next_start_knows_how_long_nobody_heard() throws Exception {
    Path file = folder.resolve("spool.db.heard");
    Uptime first = uptime(file);
    now += 20_000;
    first.beat();
    now += 29_000;
    assertEquals(START, uptime(file).since());
    now += 31_000;
    long back = now + Uptime.SETTLE_MILLIS;
    Uptime third = uptime(file);
    assertEquals(back, third.since());
    now += 1000;
    assertEquals(back, beat(third));
  }

  @Test
  void file_that_says_nothing_or_cannot_be_written_is_a_gap_at_the_next_start() throws Exception {
    Path file = Files.writeString(folder.resolve("spool.db.heard"), "nonsense");
    now += 5000;
    assertEquals(now, uptime(file).since());
    assertEquals(now, uptime(folder.resolve("missing/heard")).since());
  }
}
