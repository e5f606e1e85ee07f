package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.security.RefusalCause;
import io.flownexus.leshan.server.security.RefusalListener;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import java.net.InetSocketAddress;
import java.util.Collections;
import java.util.Set;
import java.util.WeakHashMap;
import java.util.function.Function;
import org.eclipse.californium.scandium.ConnectionListener;
import org.eclipse.californium.scandium.dtls.AlertMessage;
import org.eclipse.californium.scandium.dtls.AlertMessage.AlertDescription;
import org.eclipse.californium.scandium.dtls.AlertMessage.AlertLevel;
import org.eclipse.californium.scandium.dtls.Connection;
import org.eclipse.californium.scandium.dtls.DTLSContext;
import org.eclipse.californium.scandium.dtls.DtlsHandshakeTimeoutException;
import org.eclipse.californium.scandium.dtls.Handshaker;
import org.eclipse.californium.scandium.dtls.ServerHandshaker;
import org.eclipse.californium.scandium.dtls.SessionAdapter;
import org.eclipse.californium.scandium.dtls.SessionListener;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.spi.LoggingEventBuilder;

/**
 * Tells of each refused DTLS handshake in one line, of ten a minute at most, and counts all.
 *
 * <p>A wrong pre-shared key and an unknown identity get no answer on the wire, so that nobody can
 * find out which it was; and so they end no handshake, and are seen here as what they are. The
 * handshake itself keeps the identity that was offered.
 */
public final class HandshakeLog implements ConnectionListener {

  private static final Logger LOG = LoggerFactory.getLogger(HandshakeLog.class);

  private final CounterDataPoint established;
  private final CounterDataPoint refused;
  private final RefusalListener listener;
  private final Function<String, String> endpoints;
  private final LineLimit limit = new LineLimit();
  private final Set<Handshaker> told =
      Collections.synchronizedSet(Collections.newSetFromMap(new WeakHashMap<>()));

  /**
   * Begin to tell a listener.
   *
   * @param endpoints whose a pre-shared key identity is, or null; it must not wait
   */
  public HandshakeLog(
      Metrics metrics, RefusalListener listener, Function<String, String> endpoints) {
    this.listener = listener;
    this.endpoints = endpoints;
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
          String endpoint = error instanceof RefusedCertificateException of ? of.endpoint() : null;
          String reason = Printable.line(reason(error));
          refused(
              handshaker.getPeerAddress(), endpoint, RefusalCause.HANDSHAKE_FAILED, reason, reason);
        }
      }
    };
  }

  @Override
  public boolean onConnectionMacError(Connection connection) {
    Handshaker handshaker = connection.getOngoingHandshake();
    if (handshaker != null && told.add(handshaker)) {
      String identity = identity(handshaker);
      String endpoint = identity == null ? null : endpoints.apply(identity);
      refused(connection.getPeerAddress(), endpoint, RefusalCause.WRONG_KEY, null, "wrong key");
    }
    return false;
  }

  // Californium's alert handler has the address alone, which another connection may have by now.
  @Override
  public void afterExecution(Connection connection) {
    AlertMessage alert = connection.getRootCauseAlert();
    if (alert == null
        || alert.getDescription() != AlertDescription.UNKNOWN_PSK_IDENTITY
        || alert.getLevel() != AlertLevel.FATAL) { // a warning is the peer's own
      return;
    }
    InetSocketAddress peer = connection.getPeerAddress();
    Handshaker handshaker = connection.getOngoingHandshake();
    String identity = identity(handshaker);
    if (peer != null && identity != null && told.add(handshaker)) {
      String offered = "identity '" + Printable.line(identity) + "'";
      refused(
          peer, null, RefusalCause.UNKNOWN_IDENTITY, offered, "unknown pre-shared key " + offered);
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

  private void refused(
      InetSocketAddress peer, String endpoint, RefusalCause cause, String detail, String reason) {
    refused.inc();
    listener.refused(endpoint, peer.getAddress(), cause, detail);
    long untold = limit.admit(System.nanoTime());
    if (untold < 0) {
      return;
    }
    LoggingEventBuilder line = LOG.atWarn();
    if (endpoint != null) {
      line = line.addKeyValue("endpoint", endpoint);
    }
    line.log(
        "DTLS handshake with {}:{} refused: {}{}",
        peer.getAddress().getHostAddress(),
        peer.getPort(),
        reason,
        untold == 0 ? "" : "; " + untold + " more since the last one told");
  }

  private static String identity(Handshaker handshaker) {
    return handshaker instanceof ServerHandshaker server && server.getPreSharedKeyIdentity() != null
        ? server.getPreSharedKeyIdentity().getPublicInfoAsString()
        : null;
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
