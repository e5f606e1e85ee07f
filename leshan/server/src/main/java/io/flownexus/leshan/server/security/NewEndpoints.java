package io.flownexus.leshan.server.security;

import java.net.Inet6Address;
import java.net.InetAddress;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.function.LongSupplier;

/**
 * Bounds how many endpoints that never registered before may do so over plain CoAP.
 *
 * <p>Anybody can make names up, and each becomes rows that stay.
 */
public final class NewEndpoints {

  /**
   * How many in a minute.
   *
   * @param fromAddress from one address; of IPv6 from one /64, which is what a host has
   * @param inAll from all addresses
   */
  public record Limits(int fromAddress, int inAll) {}

  private static final int PREFIX_BYTES = 8;

  private final Limits limits;
  private final LongSupplier nanoTime;
  private final TokenBucket all;
  private final Map<String, TokenBucket> byAddress = new HashMap<>();

  /** Start with nothing used. */
  public NewEndpoints(Limits limits, LongSupplier nanoTime) {
    this.limits = limits;
    this.nanoTime = nanoTime;
    all = new TokenBucket(limits.inAll, nanoTime.getAsLong());
  }

  /** Return whether one more may come from an address, and count it if so. */
  public synchronized boolean admit(InetAddress address) {
    long now = nanoTime.getAsLong();
    if (!all.has(now)) {
      return false;
    }
    TokenBucket own =
        byAddress.computeIfAbsent(
            network(address), network -> new TokenBucket(limits.fromAddress, now));
    if (!own.has(now)) {
      return false;
    }
    all.take();
    own.take();
    // Each bucket that is not full was taken from in the last minute: there are few of them.
    if (byAddress.size() > 2 * limits.inAll) {
      byAddress.values().removeIf(bucket -> bucket.isFull(now));
    }
    return true;
  }

  private static String network(InetAddress address) {
    byte[] bytes = address.getAddress();
    return HexFormat.of()
        .formatHex(address instanceof Inet6Address ? Arrays.copyOf(bytes, PREFIX_BYTES) : bytes);
  }
}
