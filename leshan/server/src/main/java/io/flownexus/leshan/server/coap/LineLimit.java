package io.flownexus.leshan.server.coap;

/** Lets ten lines a minute into the log, and counts the others. */
final class LineLimit {

  static final int LINES = 10;
  static final long WINDOW_NANOS = 60_000_000_000L;

  private long start;
  private int passed;
  private long leftOut;

  /** Return how many were left out since the last line that passed, or -1 if this one is, too. */
  synchronized long admit(long nanos) {
    if (passed == 0 || nanos - start >= WINDOW_NANOS) {
      start = nanos;
      passed = 0;
    }
    if (passed == LINES) {
      leftOut++;
      return -1;
    }
    passed++;
    long untold = leftOut;
    leftOut = 0;
    return untold;
  }
}
