package io.flownexus.leshan.server.firmware;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import org.junit.jupiter.api.Test;

/** Turns come evenly, and nobody waits for long. */
class PaceTest {

  private static final long MILLISECOND = 1_000_000;

  private long now = Long.MAX_VALUE - 5 * MILLISECOND; // nanoTime() may overflow

  private final Pace pace = new Pace(1000, Duration.ofMillis(20), () -> now);

  @Test
  void who_comes_when_nobody_waits_has_its_turn_at_once() {
    for (int i = 0; i < 10; i++) {
      assertEquals(0, pace.take());
      now += MILLISECOND;
    }
  }

  @Test
  void those_who_come_at_once_have_their_turns_one_after_another() {
    for (int i = 0; i < 10; i++) {
      assertEquals(i * MILLISECOND, pace.take());
    }
    now += 4 * MILLISECOND;
    assertEquals(6 * MILLISECOND, pace.take());
  }

  @Test
  void time_in_which_nobody_came_is_not_saved_up() {
    now += 1000 * MILLISECOND;
    assertEquals(0, pace.take());
    assertEquals(MILLISECOND, pace.take());
  }

  @Test
  void nobody_waits_for_longer_than_the_bound_and_the_next_one_finds_no_debt() {
    for (int i = 0; i < 1000; i++) {
      pace.take();
    }
    assertEquals(20 * MILLISECOND, pace.take());
    now += 20 * MILLISECOND;
    assertEquals(MILLISECOND, pace.take());
  }
}
