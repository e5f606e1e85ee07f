package io.flownexus.leshan.server.rest;

import java.util.Locale;

/** What went wrong, for programs: each code has its HTTP status. */
enum ErrorCode {
  NOT_REGISTERED(400),
  /** A 200, as from Leshan's demo: it is not the caller's fault, and nothing is queued. */
  ASLEEP(200),
  /** Nothing left for the device. */
  UNSENT(500),
  /** Given up, for example because the device registered anew meanwhile. */
  CANCELLED(500),
  /** The device did not answer. */
  TIMEOUT(504),
  /** The device answered with a reset. */
  REJECTED(500),
  /** The device's answer cannot be read. */
  UNREADABLE(500),
  BAD_REQUEST(400),
  UNAUTHORIZED(401),
  FORBIDDEN(403),
  NOT_FOUND(404),
  METHOD_NOT_ALLOWED(405),
  /** Something else is there than the request expects. */
  CONFLICT(409),
  TOO_LARGE(413),
  UNAVAILABLE(503),
  INTERNAL(500);

  private final int status;

  ErrorCode(int status) {
    this.status = status;
  }

  /** Return the HTTP status of an answer with this code. */
  int status() {
    return status;
  }

  /** Return the code as answers show it. */
  String label() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** Return the code for an HTTP status that the HTTP server itself answers. */
  static ErrorCode ofStatus(int status) {
    return switch (status) {
      case 401 -> UNAUTHORIZED;
      case 403 -> FORBIDDEN;
      case 404 -> NOT_FOUND;
      case 405 -> METHOD_NOT_ALLOWED;
      case 413 -> TOO_LARGE;
      case 503 -> UNAVAILABLE;
      default -> status < 500 ? BAD_REQUEST : INTERNAL;
    };
  }
}
