package io.flownexus.leshan.server.coap;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.flownexus.leshan.server.Samples;
import io.flownexus.leshan.server.base.Metrics;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.eclipse.californium.scandium.dtls.AlertMessage;
import org.eclipse.californium.scandium.dtls.AlertMessage.AlertDescription;
import org.eclipse.californium.scandium.dtls.AlertMessage.AlertLevel;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class HandshakeLogTest {

  private static final Logger LOGGER = Logger.getLogger(HandshakeLog.class.getName());
  private static final AlertMessage UNKNOWN =
      new AlertMessage(AlertLevel.FATAL, AlertDescription.UNKNOWN_PSK_IDENTITY);

  private final List<LogRecord> lines = new ArrayList<>();
  private final Handler handler =
      new Handler() {
        @Override
        public void publish(LogRecord line) {
          lines.add(line);
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
      };

  @BeforeEach
  void listen() {
    LOGGER.setLevel(Level.WARNING);
    LOGGER.setUseParentHandlers(false);
    LOGGER.addHandler(handler);
  }

  @AfterEach
  void stop() {
    LOGGER.removeHandler(handler);
  }

  @Test
  void refused_handshakes_are_all_counted_and_ten_a_minute_are_logged() {
    Metrics metrics = new Metrics();
    HandshakeLog log = new HandshakeLog(metrics);
    for (int port = 1; port <= 1000; port++) {
      log.onAlert(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), UNKNOWN);
    }
    assertEquals(10, lines.size());
    assertEquals(1000, Samples.of(metrics.text(), "refused_handshakes_total"));
  }
}
