package io.flownexus.leshan.server.security;

/**
 * How far a database of credentials has been carried here.
 *
 * @param source the database; empty when none has been carried whole
 * @param revision the last of its changes that is here
 * @param refusesUnenrolled whether an endpoint without credentials may do nothing, whatever else
 *     allows it
 */
public record Carried(String source, long revision, boolean refusesUnenrolled) {

  /** Nothing has been carried. */
  static final Carried NOTHING = new Carried("", 0, false);
}
