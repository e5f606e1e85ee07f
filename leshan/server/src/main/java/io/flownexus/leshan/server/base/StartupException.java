package io.flownexus.leshan.server.base;

/** The server cannot start; the message is one line that says what to do. */
public final class StartupException extends RuntimeException {

  private static final long serialVersionUID = 1L;

  /** Keep the line to show. */
  public StartupException(String message) {
    super(message);
  }

  /** Keep the line to show and what led to it. */
  public StartupException(String message, Throwable cause) {
    super(message, cause);
  }
}
