package io.flownexus.leshan.server.coap;

import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.core.network.InMemoryMessageExchangeStore;
import org.eclipse.californium.core.network.MessageIdProvider;
import org.eclipse.californium.core.network.RandomTokenGenerator;
import org.eclipse.californium.elements.config.Configuration;

/**
 * Gives each message to a device a message ID that the device has not seen within EXCHANGE_LIFETIME
 * (RFC 7252, 4.4), also after a restart: a device takes a message whose ID it knows for a
 * duplicate, and its answer fits nothing.
 *
 * <p>The IDs follow the clock, 250 a second, so they come round in 262 s. A device that is sent
 * more gets IDs ahead of the clock; a restart is safe once the clock has passed them.
 */
public final class ClockedMessageIds implements MessageIdProvider {

  /** How long one message ID lasts: at this pace, a device never gets IDs ahead of the clock. */
  public static final Duration PACE = Duration.ofMillis(4);

  static final long PACE_NANOS = PACE.toNanos();

  private static final int MESSAGE_IDS = 1 << 16;
  private static final long EXCHANGE_LIFETIME_NANOS = TimeUnit.SECONDS.toNanos(247);
  static final long MAX_AHEAD = MESSAGE_IDS - EXCHANGE_LIFETIME_NANOS / PACE_NANOS;

  private final LongSupplier nanosSinceEpoch;

  /**
   * What was given last, only where the clock has not passed it; the longest unused comes first.
   */
  private final Map<InetSocketAddress, Long> ahead = new LinkedHashMap<>(16, 0.75f, true);

  ClockedMessageIds(LongSupplier nanosSinceEpoch) {
    this.nanosSinceEpoch = nanosSinceEpoch;
  }

  /** Let an endpoint's messages have such IDs. */
  public static CoapEndpoint.Builder use(
      CoapEndpoint.Builder builder, Configuration configuration) {
    RandomTokenGenerator tokens = new RandomTokenGenerator(configuration);
    InMemoryMessageExchangeStore exchanges =
        new InMemoryMessageExchangeStore(configuration, tokens);
    // A clock that is set does not move it: only how long the process runs.
    long began = TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis()) - System.nanoTime();
    exchanges.setMessageIdProvider(new ClockedMessageIds(() -> began + System.nanoTime()));
    return builder.setTokenGenerator(tokens).setMessageExchangeStore(exchanges);
  }

  /**
   * Return the next message ID for a device.
   *
   * @throws IllegalStateException if the device has been sent so much that all are in use
   */
  @Override
  public synchronized int getNextMessageId(InetSocketAddress device) {
    long now = nanosSinceEpoch.getAsLong() / PACE_NANOS;
    Long last = ahead.get(device);
    long next = last == null || last < now ? now : last + 1;
    if (next - now > MAX_AHEAD) {
      throw new IllegalStateException("all message IDs are in use for " + device);
    }
    ahead.put(device, next);
    forgetPassed(now);
    return (int) (next % MESSAGE_IDS);
  }

  private void forgetPassed(long now) {
    Iterator<Long> eldest = ahead.values().iterator();
    while (eldest.hasNext() && eldest.next() < now) {
      eldest.remove();
    }
  }

  /** Return for how many devices something is kept. */
  synchronized int kept() {
    return ahead.size();
  }
}
