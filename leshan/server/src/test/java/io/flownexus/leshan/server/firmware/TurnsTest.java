package io.flownexus.leshan.server.firmware;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.net.InetSocketAddress;
import java.time.Duration;
import org.junit.jupiter.api.Test;

/** Each peer has one turn at a time, and only so many peers have one. */
class TurnsTest {

  private final Turns turns = new Turns(new Pace(1000, Duration.ofMillis(20), () -> 0), 2);

  private static InetSocketAddress peer(int port) {
    return new InetSocketAddress("127.0.0.1", port);
  }

  @Test
  void who_has_one_gets_no_other_and_takes_none_from_others() {
    assertEquals(0, turns.take(peer(1)));
    assertEquals(-1, turns.take(peer(1)));
    assertEquals(1_000_000, turns.take(peer(2)));
  }

  @Test
  void beyond_the_bound_there_is_none_until_one_has_ended() {
    turns.take(peer(1));
    turns.take(peer(2));
    assertEquals(-1, turns.take(peer(3)));
    turns.end(peer(1));
    assertEquals(2_000_000, turns.take(peer(3)));
  }
}
