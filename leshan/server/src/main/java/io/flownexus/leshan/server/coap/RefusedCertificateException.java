package io.flownexus.leshan.server.coap;

import org.eclipse.californium.scandium.dtls.AlertMessage;
import org.eclipse.californium.scandium.dtls.HandshakeException;

/** A certificate is refused that a trusted CA has made for an endpoint. */
final class RefusedCertificateException extends HandshakeException {

  private static final long serialVersionUID = 1;

  private final String endpoint;

  RefusedCertificateException(String endpoint, String reason, AlertMessage alert, Throwable cause) {
    super(reason, alert, cause);
    this.endpoint = endpoint;
  }

  /** Return whose certificate it is, by its common name. */
  String endpoint() {
    return endpoint;
  }
}
