package io.flownexus.leshan.server.rest;

/** A request that ends with an error code and a line of text. */
final class HttpError extends RuntimeException {

  private static final long serialVersionUID = 1L;

  private final ErrorCode code;

  HttpError(ErrorCode code, String message) {
    super(message, null, false, false);
    this.code = code;
  }

  ErrorCode code() {
    return code;
  }
}
