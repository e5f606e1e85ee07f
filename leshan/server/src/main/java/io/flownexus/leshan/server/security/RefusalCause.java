package io.flownexus.leshan.server.security;

import java.util.Locale;

/** Why a device is not let in; users find what to do about each by its code. */
public enum RefusalCause {
  PLAIN_COAP_NOT_ALLOWED("its name is none of those that may come over plain CoAP"),
  CREDENTIALS_REVOKED("its credentials were revoked"),
  NOT_ENROLLED("it is not enrolled, and who is not may do nothing"),
  WRONG_CREDENTIALS("its credentials are not those of its security entry"),
  CAME_OVER_DTLS_BEFORE("it came over DTLS before, and may not come over plain CoAP any more"),
  TOO_MANY_NEW_ENDPOINTS("too many new endpoints come at once"),
  UNSUPPORTED_VERSION("its version of LwM2M is not supported"),
  MALFORMED_REGISTRATION("its registration is not valid"),
  WRONG_KEY("its pre-shared key is wrong"),
  UNKNOWN_IDENTITY("no security entry has its pre-shared key identity"),
  HANDSHAKE_FAILED("its DTLS handshake failed");

  private final String reason;

  RefusalCause(String reason) {
    this.reason = reason;
  }

  /** Return the reason in words, for a log. */
  public String reason() {
    return reason;
  }

  /** Return the cause as webhooks have it, such as wrong-key. */
  public String code() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
