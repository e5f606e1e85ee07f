package io.flownexus.leshan.simulator;

import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Parses durations as Go writes them ("1m30s", "500ms"); a plain number is seconds. */
final class Durations {
  private static final Pattern PART = Pattern.compile("(\\d+(?:\\.\\d+)?)(ms|us|h|m|s)");

  private Durations() {}

  /** Parse a duration; IllegalArgumentException when it is none. */
  static Duration parse(String text) {
    if (text.matches("\\d+(\\.\\d+)?")) {
      return ofSeconds(Double.parseDouble(text));
    }
    Matcher part = PART.matcher(text);
    Duration total = Duration.ZERO;
    int end = 0;
    while (part.find() && part.start() == end) {
      total = total.plus(ofSeconds(Double.parseDouble(part.group(1)) * seconds(part.group(2))));
      end = part.end();
    }
    if (end == 0 || end != text.length()) {
      throw new IllegalArgumentException("not a duration: '" + text + "' (try 2s, 500ms, 1m30s)");
    }
    return total;
  }

  private static double seconds(String unit) {
    return switch (unit) {
      case "h" -> 3600;
      case "m" -> 60;
      case "s" -> 1;
      case "ms" -> 1e-3;
      default -> 1e-6;
    };
  }

  private static Duration ofSeconds(double seconds) {
    return Duration.ofNanos(Math.round(seconds * 1e9));
  }
}
