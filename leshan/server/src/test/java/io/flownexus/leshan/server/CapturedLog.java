package io.flownexus.leshan.server;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.slf4j.LoggerFactory;
import org.slf4j.event.KeyValuePair;

/** What is logged while it is open, libraries' warnings too. */
public final class CapturedLog implements AutoCloseable {

  private static final Logger OURS = (Logger) LoggerFactory.getLogger("io.flownexus");
  private static final Logger ROOT = (Logger) LoggerFactory.getLogger(Logger.ROOT_LOGGER_NAME);

  private final List<ILoggingEvent> events = new CopyOnWriteArrayList<>();
  private final Level before = OURS.getLevel();
  private final AppenderBase<ILoggingEvent> appender =
      new AppenderBase<>() {
        @Override
        protected void append(ILoggingEvent event) {
          events.add(event);
        }
      };

  /** Listen to this program from a level on. */
  public CapturedLog(Level level) {
    OURS.setLevel(level);
    appender.setContext(ROOT.getLoggerContext());
    appender.start();
    ROOT.addAppender(appender);
  }

  /** Return the lines so far: level, message, and key=value of each pair. */
  public List<String> lines() {
    return events.stream().map(CapturedLog::line).toList();
  }

  @Override
  public void close() {
    ROOT.detachAppender(appender);
    OURS.setLevel(before);
  }

  private static String line(ILoggingEvent event) {
    StringBuilder line = new StringBuilder();
    line.append(event.getLevel()).append(' ').append(event.getFormattedMessage());
    List<KeyValuePair> pairs = event.getKeyValuePairs();
    for (KeyValuePair pair : pairs == null ? List.<KeyValuePair>of() : pairs) {
      line.append(' ').append(pair.key).append('=').append(pair.value);
    }
    return line.toString();
  }
}
