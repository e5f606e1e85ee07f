package io.flownexus.leshan.server.security;

import java.net.InetAddress;

/** Is told of each device that is not let in; on a CoAP thread, which must not wait. */
@FunctionalInterface
public interface RefusalListener {

  /**
   * Take note.
   *
   * @param endpoint null where it is not known: a handshake ended before it was told
   * @param detail what else is known, or null
   */
  void refused(String endpoint, InetAddress address, RefusalCause cause, String detail);
}
