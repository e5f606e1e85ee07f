package io.flownexus.leshan.server;

import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Reads durations as Go writes them: 15s, 1m30s, 500ms. */
final class DurationConverter implements ITypeConverter<Duration> {

  private static final Pattern PART = Pattern.compile("(\\d+(?:\\.\\d+)?)(ms|h|m|s)");

  @Override
  public Duration convert(String text) {
    Matcher matcher = PART.matcher(text);
    double millis = 0;
    int end = 0;
    while (matcher.lookingAt()) {
      millis += Double.parseDouble(matcher.group(1)) * unit(matcher.group(2));
      end = matcher.end();
      matcher.region(end, text.length());
    }
    if (end == 0 || end != text.length()) {
      throw new TypeConversionException(
          "'" + text + "' is not a duration; write it like 500ms, 15s or 1m30s");
    }
    return Duration.ofMillis(Math.round(millis));
  }

  private static double unit(String name) {
    return switch (name) {
      case "ms" -> 1;
      case "s" -> 1000;
      case "m" -> 60_000;
      default -> 3_600_000;
    };
  }
}
