package io.flownexus.leshan.server.coap;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ch.qos.logback.classic.Level;
import io.flownexus.leshan.server.CapturedLog;
import io.flownexus.leshan.server.Samples;
import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.security.RefusalCause;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.eclipse.californium.scandium.dtls.AlertMessage;
import org.eclipse.californium.scandium.dtls.AlertMessage.AlertDescription;
import org.eclipse.californium.scandium.dtls.AlertMessage.AlertLevel;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class HandshakeLogTest {

  private static final AlertMessage UNKNOWN =
      new AlertMessage(AlertLevel.FATAL, AlertDescription.UNKNOWN_PSK_IDENTITY);

  private CapturedLog log;

  @BeforeEach
  void listen() {
    log = new CapturedLog(Level.WARN);
  }

  @AfterEach
  void stop() {
    log.close();
  }

  @Test
  void refused_handshakes_are_all_counted_and_ten_a_minute_are_logged() {
    Metrics metrics = new Metrics();
    List<RefusalCause> told = new ArrayList<>();
    HandshakeLog handshakes =
        new HandshakeLog(metrics, (endpoint, address, cause, detail) -> told.add(cause));
    for (int port = 1; port <= 1000; port++) {
      handshakes.onAlert(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), UNKNOWN);
    }
    assertEquals(10, log.lines().size());
    assertEquals(1000, Collections.frequency(told, RefusalCause.UNKNOWN_IDENTITY));
    assertEquals(1000, Samples.of(metrics.text(), "refused_handshakes_total"));
  }
}
