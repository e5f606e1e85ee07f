package io.flownexus.leshan.server.security;

import java.util.Objects;
import org.eclipse.leshan.servers.security.SecurityInfo;

/**
 * One way for a device to prove its name.
 *
 * @param info of a key, or of certificates of the CA with the endpoint's name
 * @param certificate the SHA-256 in hex of the only certificate that counts; null is any
 * @param until seconds since 1970 at which it is over
 */
public record Credential(SecurityInfo info, String certificate, long until) {

  /** Of a credential that does not expire. */
  public static final long FOR_EVER = Long.MAX_VALUE;

  /** Return a credential that does not expire, of any certificate where it is of certificates. */
  public static Credential of(SecurityInfo info) {
    return new Credential(info, null, FOR_EVER);
  }

  /** Return whether it is over. */
  boolean isOver(long seconds) {
    return until <= seconds;
  }

  /** Return whether it is the same key or certificate, whenever it is over. */
  boolean isSame(Credential other) {
    return info.equals(other.info) && Objects.equals(certificate, other.certificate);
  }
}
