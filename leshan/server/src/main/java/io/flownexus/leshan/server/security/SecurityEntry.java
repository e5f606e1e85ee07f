package io.flownexus.leshan.server.security;

import org.eclipse.leshan.servers.security.SecurityInfo;

/** The credentials of an endpoint; null when it is denied, with whatever credentials. */
public record SecurityEntry(String endpoint, SecurityInfo credentials) {

  /** Return the entry of an endpoint that has credentials. */
  static SecurityEntry of(SecurityInfo credentials) {
    return new SecurityEntry(credentials.getEndpoint(), credentials);
  }

  /** Return the entry of an endpoint that nobody may use. */
  static SecurityEntry denied(String endpoint) {
    return new SecurityEntry(endpoint, null);
  }
}
