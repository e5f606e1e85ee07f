package io.flownexus.leshan.server.webhook;

import static org.junit.jupiter.api.Assertions.assertTrue;

import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.elements.util.ClockUtil;
import org.junit.jupiter.api.Test;

class ReceiptTest {

  private static final long STEP = 1_000_000; // ns

  @Test
  void message_that_waited_has_the_time_of_its_receipt_and_later_ones_no_earlier_time() {
    long now = ClockUtil.nanoRealtime();
    long before = Receipt.millis(null);
    long last = Long.MIN_VALUE;
    for (long wait = 3_000 * STEP; wait >= 0; wait -= STEP / 3) {
      Response response = new Response(ResponseCode.CONTENT);
      response.setNanoTimestamp(now - wait);
      long time = Receipt.millis(response);
      assertTrue(time >= last && time <= before, () -> time + " of " + before);
      last = time;
    }
    Response oldest = new Response(ResponseCode.CONTENT);
    oldest.setNanoTimestamp(now - 3_000 * STEP);
    long waited = last - Receipt.millis(oldest);
    assertTrue(waited >= 2_999 && waited <= 3_001, () -> waited + " ms");
  }
}
