package io.flownexus.leshan.server.coap;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class LineLimitTest {

  @Test
  void line_after_a_minute_says_how_many_were_left_out() {
    LineLimit limit = new LineLimit();
    for (int line = 0; line < LineLimit.LINES; line++) {
      assertEquals(0, limit.admit(line));
    }
    for (int line = 0; line < 90; line++) {
      assertEquals(-1, limit.admit(LineLimit.WINDOW_NANOS - 1));
    }
    assertEquals(90, limit.admit(LineLimit.WINDOW_NANOS));
    assertEquals(0, limit.admit(LineLimit.WINDOW_NANOS));
  }
}
