package io.flownexus.leshan.server.webhook;

import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.elements.util.ClockUtil;

/**
 * When a message came in, however late it is handled.
 *
 * <p>Messages are told apart by the monotonic clock: the wall clock's offset is kept until it is
 * wrong by more than 20 ms, so that of two messages the later one has no earlier time.
 */
public final class Receipt {

  private static final long NANOS = 1_000_000;
  private static final long LARGEST_ERROR = 20 * NANOS;

  private static volatile long offset =
      System.currentTimeMillis() * NANOS - ClockUtil.nanoRealtime();

  private Receipt() {}

  /** Return the epoch milliseconds of a CoAP message's receipt; now where nobody noted it. */
  public static long millis(Object coapMessage) {
    long now = ClockUtil.nanoRealtime();
    long error = System.currentTimeMillis() * NANOS - now - offset;
    if (Math.abs(error) > LARGEST_ERROR) {
      offset += error;
    }
    long noted = coapMessage instanceof Message message ? message.getNanoTimestamp() : 0;
    return Math.floorDiv(offset + (noted == 0 ? now : noted), NANOS);
  }
}
