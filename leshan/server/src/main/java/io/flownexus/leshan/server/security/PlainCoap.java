package io.flownexus.leshan.server.security;

import java.util.List;

/**
 * The endpoints that may register over plain CoAP, where nobody proves who they are.
 *
 * @param patterns each an endpoint name, or a prefix and {@code *}; none closes the port
 */
public record PlainCoap(List<String> patterns) {

  /** Whoever comes. */
  public static final PlainCoap ANY = new PlainCoap(List.of("*"));

  /** Nobody. */
  public static final PlainCoap CLOSED = new PlainCoap(List.of());

  /** Return whether the port has to be open. */
  public boolean open() {
    return !patterns.isEmpty();
  }

  /** Return whether an endpoint may register in the clear. */
  public boolean admits(String endpoint) {
    return patterns.stream().anyMatch(pattern -> matches(pattern, endpoint));
  }

  private static boolean matches(String pattern, String endpoint) {
    return pattern.endsWith("*")
        ? endpoint.startsWith(pattern.substring(0, pattern.length() - 1))
        : endpoint.equals(pattern);
  }
}
