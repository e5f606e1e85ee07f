package io.flownexus.leshan.server;

import java.io.OutputStream;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.logging.Formatter;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogManager;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.StreamHandler;

/** Sets up logging to standard error, one line an entry whatever it holds. */
public final class Logging {

  // java.util.logging forgets the levels of loggers that nobody holds.
  private static final List<Logger> LOGGERS = new ArrayList<>();

  private Logging() {}

  /** Keeps logging until the very end: the JDK's own manager stops at the first sign of it. */
  public static final class Manager extends LogManager {
    @Override
    public void reset() {}
  }

  /** Take over logging; works only before the first logger is asked for. */
  static void install() {
    System.setProperty("java.util.logging.manager", Manager.class.getName());
  }

  /** Log this program from the given level on, and the libraries from WARNING on. */
  public static void configure(String level) {
    Logger root = Logger.getLogger("");
    for (Handler handler : root.getHandlers()) {
      root.removeHandler(handler);
    }
    root.addHandler(new FlushingHandler(System.err));
    Level own = level(level);
    root.setLevel(own.intValue() < Level.INFO.intValue() ? own : Level.WARNING);
    Logger ours = Logger.getLogger("io.flownexus");
    ours.setLevel(own);
    LOGGERS.add(ours);
  }

  private static Level level(String name) {
    return switch (name.toLowerCase(Locale.ROOT)) {
      case "error" -> Level.SEVERE;
      case "warn" -> Level.WARNING;
      case "debug" -> Level.FINE;
      case "trace" -> Level.FINEST;
      default -> Level.INFO;
    };
  }

  private static final class FlushingHandler extends StreamHandler {
    FlushingHandler(OutputStream out) {
      super(out, new LineFormatter());
      setLevel(Level.ALL);
    }

    @Override
    public synchronized void publish(LogRecord entry) {
      super.publish(entry);
      flush();
    }
  }

  /** Formats an entry as one line, an exception as its class and message. */
  static final class LineFormatter extends Formatter {

    private static final DateTimeFormatter TIME =
        DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC);

    @Override
    public String format(LogRecord entry) {
      StringBuilder line = new StringBuilder(160);
      TIME.formatTo(Instant.ofEpochMilli(entry.getMillis()), line);
      line.append(' ').append(name(entry.getLevel())).append(' ');
      String logger = String.valueOf(entry.getLoggerName());
      line.append(logger.substring(logger.lastIndexOf('.') + 1)).append(": ");
      line.append(oneLine(formatMessage(entry)));
      for (Throwable t = entry.getThrown(); t != null; t = t.getCause()) {
        line.append(" <- ").append(oneLine(t.toString()));
        if (t.getStackTrace().length > 0) {
          line.append(" at ").append(t.getStackTrace()[0]);
        }
      }
      return line.append('\n').toString();
    }

    private static String name(Level level) {
      if (level.intValue() >= Level.SEVERE.intValue()) {
        return "ERROR";
      }
      if (level.intValue() >= Level.WARNING.intValue()) {
        return "WARN";
      }
      return level.intValue() >= Level.INFO.intValue() ? "INFO" : "DEBUG";
    }

    private static String oneLine(String text) {
      return text == null ? "" : text.replaceAll("[\\p{Cntrl}]+", " ");
    }
  }
}
