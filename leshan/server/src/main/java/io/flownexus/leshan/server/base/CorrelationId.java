package io.flownexus.leshan.server.base;

import java.util.regex.Pattern;

/**
 * The id of what belongs together in several parts' logs; it goes from part to part in a header.
 */
public final class CorrelationId {

  public static final String HEADER = "X-Correlation-ID";

  /** The name that it has in a line of the log. */
  public static final String KEY = "correlation_id";

  private static final Pattern FORM = Pattern.compile("[A-Za-z0-9._:-]{1,128}");

  private CorrelationId() {}

  /** Return what a caller gave for one, or null where it is none. */
  public static String accept(String given) {
    return given != null && FORM.matcher(given).matches() ? given : null;
  }
}
