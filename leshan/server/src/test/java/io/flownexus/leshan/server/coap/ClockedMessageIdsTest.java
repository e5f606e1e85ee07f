package io.flownexus.leshan.server.coap;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.InetSocketAddress;
import java.util.HashSet;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** Message IDs by the clock: none is given twice within EXCHANGE_LIFETIME, whoever is restarted. */
class ClockedMessageIdsTest {

  private static final int EXCHANGE_LIFETIME_S = 247;

  private final InetSocketAddress device = new InetSocketAddress("10.0.0.1", 5683);
  private long now = TimeUnit.DAYS.toNanos(20_000);
  private ClockedMessageIds ids = started();

  @Test
  void ids_of_a_server_that_was_killed_are_not_given_by_the_next_one() {
    Random random = new Random(3);
    for (int round = 0; round < 50; round++) {
      Set<Integer> used = new HashSet<>();
      while (used.size() < 3000) { // a package of 1.5 MB in blocks of 512 bytes
        assertTrue(used.add(next()));
        now += ClockedMessageIds.PACE_NANOS + random.nextInt(1_000_000);
        if (random.nextInt(500) == 0) {
          ids = started();
        }
      }
      now += TimeUnit.SECONDS.toNanos(EXCHANGE_LIFETIME_S);
    }
  }

  @Test
  void burst_gets_ids_of_its_own_until_all_are_in_use() {
    Set<Integer> used = new HashSet<>();
    for (int i = 0; i <= ClockedMessageIds.MAX_AHEAD; i++) {
      assertTrue(used.add(next()));
    }
    assertThrows(IllegalStateException.class, this::next);
    now += ClockedMessageIds.PACE_NANOS;
    assertTrue(used.add(next()));
  }

  @Test
  void id_comes_again_only_when_its_exchange_has_ended() {
    int last = next();
    long began = now;
    for (int i = 1; i < ClockedMessageIds.MAX_AHEAD; i++) {
      last = next();
    }
    do {
      now += ClockedMessageIds.PACE_NANOS;
    } while (next() != last);
    assertTrue(now - began >= TimeUnit.SECONDS.toNanos(EXCHANGE_LIFETIME_S));
  }

  @Test
  void nothing_is_kept_of_devices_that_the_clock_has_passed() {
    for (int i = 0; i < 10_000; i++) {
      ids.getNextMessageId(new InetSocketAddress("10.0.0.1", 1024 + i));
      now += ClockedMessageIds.PACE_NANOS;
    }
    assertTrue(ids.kept() <= 2, () -> ids.kept() + " are kept");
  }

  @Test
  void devices_do_not_share_them() {
    int first = next();
    assertEquals(first, ids.getNextMessageId(new InetSocketAddress("10.0.0.2", 5683)));
  }

  private int next() {
    return ids.getNextMessageId(device);
  }

  private ClockedMessageIds started() {
    return new ClockedMessageIds(() -> now);
  }
}
