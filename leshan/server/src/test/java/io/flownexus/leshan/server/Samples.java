package io.flownexus.leshan.server;

/** Reads Prometheus' text format. */
public final class Samples {

  private static final String PREFIX = "flownexus_leshan_";

  private Samples() {}

  /** Return a sample, by its name behind the prefix and its labels; 0 while nothing was counted. */
  public static long of(String text, String sample) {
    String family = PREFIX + sample.replaceFirst("(_count)?([{].*)?$", "");
    if (!text.contains("# TYPE " + family + " ")) {
      throw new AssertionError("no metric " + family + " in " + text);
    }
    return text.lines()
        .filter(line -> line.startsWith(PREFIX + sample + " "))
        .mapToLong(line -> (long) Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
        .sum();
  }
}
