package io.flownexus.leshan.server.webhook;

import java.util.LinkedHashMap;
import java.util.Map;

/** Lets ten failures a minute pass of each endpoint and reason, and counts the others. */
final class FailureLimit {

  /** What is wrong, in general: each has a limit of its own. */
  enum Reason {
    UNREADABLE("it cannot be read"),
    ENDED("the device ended the observation");

    private final String text;

    Reason(String text) {
      this.text = text;
    }

    String text() {
      return text;
    }
  }

  static final int PASSING = 10;
  static final long WINDOW_MILLIS = 60_000;
  private static final int MAX_KEPT = 10_000; // the one asked for longest ago is forgotten

  private record Key(String endpoint, Reason reason) {}

  private static final class Window {
    private long start;
    private int passed;
    private long suppressed;
  }

  private final Map<Key, Window> windows =
      new LinkedHashMap<>(16, 0.75f, true) {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Key, Window> eldest) {
          return size() > MAX_KEPT;
        }
      };

  /** Return how many were left out since the last that passed, or -1 when this one is, too. */
  synchronized long admit(String endpoint, Reason reason, long nowMillis) {
    Window window = windows.computeIfAbsent(new Key(endpoint, reason), key -> new Window());
    if (window.passed == 0 || nowMillis - window.start >= WINDOW_MILLIS) {
      window.start = nowMillis;
      window.passed = 0;
    }
    if (window.passed == PASSING) {
      window.suppressed++;
      return -1;
    }
    window.passed++;
    long suppressed = window.suppressed;
    window.suppressed = 0;
    return suppressed;
  }
}
