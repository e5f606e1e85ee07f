package io.flownexus.leshan.server.webhook;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HearingTest {

  private static final long START = 1_795_344_335_000L;

  @TempDir Path folder;
  private long now = START;
  private boolean accepting = true;

  private Hearing hearing(Path file) {
    return new Hearing(file, () -> accepting, Duration.ofSeconds(30), () -> now);
  }

  private static long beat(Hearing hearing) {
    hearing.beat();
    return hearing.since();
  }

  @Test
  void gap_that_retransmissions_bridge_is_none() {
    Hearing hearing = hearing(null);
    now += 30_000;
    assertEquals(START, beat(hearing));
  }

  @Test
  void server_that_was_halted_for_longer_has_heard_devices_only_since() {
    Hearing hearing = hearing(null);
    now += 30_001;
    assertEquals(now + Hearing.SETTLE_MILLIS, beat(hearing));
  }

  @Test
  void time_in_which_devices_are_refused_is_a_gap() {
    Hearing hearing = hearing(null);
    accepting = false;
    for (int second = 0; second < 40; second++) {
      now += 1000;
      assertEquals(START, beat(hearing));
    }
    accepting = true;
    assertEquals(now + Hearing.SETTLE_MILLIS, beat(hearing));
  }

  @Test
  void next_start_knows_how_long_nobody_heard() throws Exception {
    Path file = folder.resolve("spool.db.heard");
    Hearing first = hearing(file);
    now += 20_000;
    first.beat();
    now += 29_000;
    assertEquals(START, hearing(file).since());
    now += 31_000;
    long back = now + Hearing.SETTLE_MILLIS;
    Hearing third = hearing(file);
    assertEquals(back, third.since());
    now += 1000;
    assertEquals(back, beat(third));
  }

  @Test
  void file_that_says_nothing_or_cannot_be_written_is_a_gap_at_the_next_start() throws Exception {
    Path file = Files.writeString(folder.resolve("spool.db.heard"), "nonsense");
    now += 5000;
    assertEquals(now, hearing(file).since());
    assertEquals(now, hearing(folder.resolve("missing/heard")).since());
  }
}
