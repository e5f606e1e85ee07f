package io.flownexus.leshan.simulator;

import java.net.InetAddress;
import java.net.URI;

/**
 * Says where and how devices connect, and which files say what became of their messages.
 *
 * @param seed what the drift of the values depends on, with the endpoint's name
 */
record FleetSettings(
    String serverUri,
    Credentials credentials,
    InetAddress bind,
    JsonLines ledger,
    JsonLines unacknowledged,
    JsonLines requests,
    long seed) {

  /** Return the scheme by which devices talk to their server: coap or coaps. */
  String scheme() {
    return URI.create(serverUri).getScheme();
  }
}
