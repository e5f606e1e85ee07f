package io.flownexus.leshan.server.security;

import java.util.List;

/**
 * The credentials of an endpoint.
 *
 * @param credentials any of which will do; empty when the endpoint is denied, with whatever it has
 * @param carried whether it is of the database of credentials, and not of who asked the REST API
 */
public record SecurityEntry(String endpoint, List<Credential> credentials, boolean carried) {

  /** Return the entry of an endpoint that nobody may use. */
  static SecurityEntry denied(String endpoint) {
    return new SecurityEntry(endpoint, List.of(), false);
  }

  /** Return whether nobody may use the endpoint's name. */
  boolean isDenied() {
    return credentials.isEmpty();
  }

  /** Return the same with other credentials. */
  SecurityEntry with(List<Credential> others) {
    return new SecurityEntry(endpoint, List.copyOf(others), carried);
  }
}
