package io.flownexus.leshan.server.firmware;

import java.net.InetSocketAddress;
import java.util.HashSet;
import java.util.Set;

/**
 * Bounds how many read at once: each peer one block at a time, as CoAP's NSTART has it (RFC 7252,
 * 4.7), and so many peers.
 */
final class Turns {

  private final Pace pace;
  private final int most;
  private final Set<InetSocketAddress> peers = new HashSet<>();

  Turns(Pace pace, int most) {
    this.pace = pace;
    this.most = most;
  }

  /** Begin a turn; return the nanoseconds until then, or -1 where there is no room. */
  synchronized long take(InetSocketAddress peer) {
    return peers.size() < most && peers.add(peer) ? pace.take() : -1;
  }

  /** End a peer's turn, from waiting for it to the answer. */
  synchronized void end(InetSocketAddress peer) {
    peers.remove(peer);
  }
}
