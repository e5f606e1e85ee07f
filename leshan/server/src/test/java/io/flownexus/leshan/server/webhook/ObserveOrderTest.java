package io.flownexus.leshan.server.webhook;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import org.eclipse.leshan.core.endpoint.EndpointUri;
import org.eclipse.leshan.core.observation.ObservationIdentifier;
import org.junit.jupiter.api.Test;

/** Which notification is the newest, by RFC 7641, 3.4. */
class ObserveOrderTest {

  private static final ObservationIdentifier ONE = token(1);
  private static final ObservationIdentifier OTHER = token(2);

  private final ObserveOrder order = new ObserveOrder();

  @Test
  void newer_notification_counts_from_its_receipt() {
    assertEquals(1000, order.time(ONE, 5, 1000));
    assertEquals(1000, order.time(ONE, 6, 1000));
    assertEquals(2000, order.time(ONE, 600, 2000));
  }

  @Test
  void overtaken_notification_counts_from_before_the_newest() {
    order.time(ONE, 7, 1000);
    assertEquals(999, order.time(ONE, 5, 1500));
    assertEquals(999, order.time(ONE, 6, 1501));
    assertEquals(1502, order.time(ONE, 8, 1502));
    assertEquals(1501, order.time(ONE, 7, 1503));
  }

  @Test
  void numbers_go_round() {
    order.time(ONE, (1 << 24) - 1, 1000);
    assertEquals(1001, order.time(ONE, 0, 1001));
    assertEquals(1000, order.time(ONE, (1 << 24) - 2, 1002));
    assertEquals(1003, order.time(ONE, 1 << 22, 1003));
    assertEquals(1004, order.time(ONE, (1 << 23) + 5, 1004));
  }

  @Test
  void any_number_is_newer_after_128_seconds() {
    order.time(ONE, 9, 1000);
    assertEquals(999, order.time(ONE, 3, 129_000));
    assertEquals(129_001, order.time(ONE, 3, 129_001));
    assertEquals(129_002, order.time(ONE, 4, 129_002));
  }

  @Test
  void same_number_and_none_at_all_are_not_older() {
    order.time(ONE, 9, 1000);
    assertEquals(1001, order.time(ONE, 9, 1001));
    assertEquals(1002, order.time(ONE, null, 1002));
  }

  @Test
  void observations_do_not_concern_each_other_and_are_forgotten() {
    order.time(ONE, 9, 1000);
    assertEquals(1001, order.time(OTHER, 1, 1001));
    assertNotEquals(1002, order.time(ONE, 1, 1002));
    order.forget(ONE);
    assertEquals(1003, order.time(ONE, 1, 1003));
  }

  private static ObservationIdentifier token(int last) {
    return new ObservationIdentifier(
        new EndpointUri("coap", "127.0.0.1", 5683), new byte[] {-1, 0, 3, 4, 5, 6, 7, (byte) last});
  }
}
