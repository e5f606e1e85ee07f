package io.flownexus.leshan.server.coap;

/** Makes what anybody may have sent fit a line of the log. */
final class Printable {

  static final int LONGEST = 200; // characters

  // Control and format characters, such as those of another direction, and ends of lines.
  private static final String OTHERS = "[\\p{C}\\p{Zl}\\p{Zp}]";

  private Printable() {}

  /** Return a text in one line that is not too long, with a ? for each character it cannot have. */
  static String line(String text) {
    boolean isLong = text.length() > LONGEST;
    String line = (isLong ? text.substring(0, LONGEST) : text).replaceAll(OTHERS, "?");
    return isLong ? line + "..." : line;
  }
}
