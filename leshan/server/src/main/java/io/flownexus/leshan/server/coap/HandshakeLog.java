package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.security.RefusalCause;
import io.flownexus.leshan.server.security.RefusalListener;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import java.net.InetSocketAddress;
import java.util.Collections;
import java.util.Set;
import java.util.WeakHashMap;
import org.eclipse.californium.scandium.AlertHandler;
import org.eclipse.californium.scandium.ConnectionListener;
import org.eclipse.californium.scandium.dtls.AlertMessage;
import org.eclipse.californium.scandium.dtls.AlertMessage.AlertDescription;
import org.eclipse.californium.scandium.dtls.Connection;
import org.eclipse.californium.scandium.dtls.DTLSContext;
import org.eclipse.californium.scandium.dtls.DtlsHandshakeTimeoutException;
import org.eclipse.californium.scandium.dtls.Handshaker;
import org.eclipse.californium.scandium.dtls.SessionAdapter;
import org.eclipse.californium.scandium.dtls.SessionListener;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Tells of each refused DTLS handshake in one line, of ten a minute at most, and counts all.
 *
 * <p>A wrong pre-shared key and an unknown identity get no answer on the wire, so that nobody can
 * find out which it was; and so they end no handshake, and are seen here as what they are.
 */
public final class HandshakeLog implements ConnectionListener, AlertHandler {

  private static final Logger LOG = LoggerFactory.getLogger(HandshakeLog.class);

  private final CounterDataPoint established;
  private final CounterDataPoint refused;
  private final RefusalListener listener;
  private final LineLimit limit = new LineLimit();
  private final Set<Handshaker> told =
      Collections.synchronizedSet(Collections.newSetFromMap(new WeakHashMap<>()));

  public HandshakeLog(Metrics metrics, RefusalListener listener) {
    this.listener = listener;
    established = metrics.establishedSessions;
    refused = metrics.refusedHandshakes;
  }

  SessionListener sessionListener() {
    return new SessionAdapter() {
      @Override
      public void contextEstablished(Handshaker handshaker, DTLSContext context) {
        established.inc();
      }

      @Override
      public void handshakeFailed(Handshaker handshaker, Throwable error) {
        if (error instanceof DtlsHandshakeTimeoutException) {
          LOG.debug("DTLS handshake with {} not completed", handshaker.getPeerAddress());
        } else if (told.add(handshaker)) {
          refused(handshaker.getPeerAddress(), RefusalCause.HANDSHAKE_FAILED, reason(error));
        }
      }
    };
  }

  @Override
  public boolean onConnectionMacError(Connection connection) {
    Handshaker handshaker = connection.getOngoingHandshake();
    if (handshaker != null && told.add(handshaker)) {
      refused(connection.getPeerAddress(), RefusalCause.WRONG_KEY, "wrong key");
    }
    return false;
  }

  @Override
  public void onAlert(InetSocketAddress peer, AlertMessage alert) {
    if (alert.getDescription() == AlertDescription.UNKNOWN_PSK_IDENTITY) {
      refused(peer, RefusalCause.UNKNOWN_IDENTITY, "unknown pre-shared key identity");
    }
  }

  @Override
  public void onConnectionEstablished(Connection connection) {}

  @Override
  public void onConnectionRemoved(Connection connection) {}

  @Override
  public boolean onConnectionUpdatesSequenceNumbers(
      Connection connection, boolean writeSequenceNumber) {
    return false;
  }

  @Override
  public void beforeExecution(Connection connection) {}

  @Override
  public void updateExecution(Connection connection) {}

  @Override
  public void afterExecution(Connection connection) {}

  private void refused(InetSocketAddress peer, RefusalCause cause, String reason) {
    refused.inc();
    listener.refused(
        null, peer.getAddress(), cause, cause == RefusalCause.HANDSHAKE_FAILED ? reason : null);
    long untold = limit.admit(System.nanoTime());
    if (untold < 0) {
      return;
    }
    LOG.warn(
        "DTLS handshake with {}:{} refused: {}{}",
        peer.getAddress().getHostAddress(),
        peer.getPort(),
        reason,
        untold == 0 ? "" : "; " + untold + " more since the last one told");
  }

  private static String reason(Throwable error) {
    String message = String.valueOf(error.getMessage());
    if (message.startsWith("Client Certificate required")) {
      return "no certificate of a trusted CA"; // a device sends none when it has no such one
    }
    StringBuilder reason = new StringBuilder(message);
    for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
      reason.append(": ").append(cause.getMessage());
    }
    return reason.toString();
  }
}
