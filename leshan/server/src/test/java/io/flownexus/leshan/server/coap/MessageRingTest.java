package io.flownexus.leshan.server.coap;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class MessageRingTest {

  private static final int TOKEN = 0x12345678;
  private static final int ROOM = 1000;

  private final MessageRing ring = new MessageRing();

  @Test
  void knows_the_latest_256_messages() {
    for (int mid = 0; mid < 1000; mid++) {
      assertEquals(MessageRing.NEW, take(mid, 0));
      ring.settle(mid, MessageRing.ACKNOWLEDGED);
    }
    for (int mid = 1000 - MessageRing.MAX_MESSAGES; mid < 1000; mid++) {
      assertEquals(MessageRing.ACKNOWLEDGED, take(mid, 0));
    }
    assertEquals(MessageRing.MAX_MESSAGES, ring.capacity());
    assertEquals(MessageRing.NEW, take(1000 - MessageRing.MAX_MESSAGES - 1, 0));
  }

  @Test
  void message_is_pending_until_it_is_settled() {
    assertEquals(MessageRing.NEW, take(1, 0));
    assertEquals(MessageRing.PENDING, take(1, 0));
    ring.settle(1, 68);
    assertEquals(68, take(1, 0));
  }

  @Test
  void message_with_another_token_is_another_one() {
    assertEquals(MessageRing.NEW, take(1, 0));
    assertEquals(MessageRing.NEW, ring.take(1, TOKEN + 1, 0, ROOM));
  }

  @Test
  void forgotten_message_is_new_and_takes_no_place() {
    for (int i = 0; i < 1000; i++) {
      assertEquals(MessageRing.NEW, take(7, 0));
      ring.forget(7);
      assertTrue(ring.isOver(0));
    }
    for (int mid = 0; mid < 10; mid++) {
      take(mid, 0);
    }
    ring.forget(3);
    assertEquals(MessageRing.PENDING, take(2, 0));
    assertEquals(MessageRing.NEW, take(3, 0));
    ring.forgetToken(TOKEN);
    assertEquals(MessageRing.NEW, take(3, 0));
  }

  @Test
  void message_id_may_be_used_again_after_247_seconds() {
    for (int second = 0; second < 300; second += 100) {
      take(second, second); // the peer itself is not silent
    }
    assertEquals(MessageRing.PENDING, take(0, MessageRing.LIFETIME_S));
    assertEquals(MessageRing.NEW, take(0, MessageRing.LIFETIME_S + 1));
    assertFalse(ring.isOver(2 * MessageRing.LIFETIME_S + 1));
    assertTrue(ring.isOver(2 * MessageRing.LIFETIME_S + 2));
    assertEquals(MessageRing.NEW, take(0, 100_000_000));
  }

  @Test
  void slow_peer_takes_no_more_room_than_its_messages_of_247_seconds() {
    for (int second = 0; second < 100_000; second += 30) {
      assertEquals(MessageRing.NEW, take(second / 30, second));
    }
    assertEquals(16, ring.capacity());
  }

  @Test
  void oldest_gives_way_where_there_is_no_room() {
    for (int mid = 0; mid < 100; mid++) {
      ring.take(mid, TOKEN, 0, 15);
    }
    assertEquals(16, ring.capacity());
    assertEquals(MessageRing.PENDING, ring.take(84, TOKEN, 0, 15));
    assertEquals(MessageRing.NEW, ring.take(83, TOKEN, 0, 15));
  }

  @Test
  void location_is_that_of_the_latest_registration() {
    take(1, 0);
    ring.created(1, TOKEN, "rd/a");
    assertEquals("rd/a", ring.location(1, TOKEN));
    ring.created(2, TOKEN, "rd/b");
    assertNull(ring.location(1, TOKEN));
  }

  private int take(int mid, int second) {
    return ring.take(mid, TOKEN, second, ROOM);
  }
}
