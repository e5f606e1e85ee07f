package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.Metrics;
import java.util.concurrent.atomic.LongAdder;
import org.eclipse.californium.elements.Connector;
import org.eclipse.californium.scandium.DTLSConnector;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.californium.scandium.dtls.Handshaker;
import org.eclipse.californium.scandium.dtls.SessionAdapter;
import org.eclipse.leshan.core.endpoint.EndPointUriHandler;
import org.eclipse.leshan.core.endpoint.EndpointUri;
import org.eclipse.leshan.transport.californium.server.endpoint.coaps.CoapsServerEndpointFactory;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Makes a CoAPS endpoint that tells of each refused handshake in one line. */
final class LoggedCoapsEndpointFactory extends CoapsServerEndpointFactory {

  private static final Logger LOG = LoggerFactory.getLogger(LoggedCoapsEndpointFactory.class);

  private final LongAdder refused;

  LoggedCoapsEndpointFactory(EndpointUri uri, EndPointUriHandler uris, Metrics metrics) {
    super(uri, null, null, null, null, uris);
    refused = metrics.counter("dtls_refused_total", "", "DTLS handshakes that failed.");
  }

  @Override
  protected Connector createConnector(DtlsConnectorConfig config) {
    return new LoggedConnector(config);
  }

  private final class LoggedConnector extends DTLSConnector {

    LoggedConnector(DtlsConnectorConfig config) {
      super(config);
      addSessionListener(
          new SessionAdapter() {
            @Override
            public void handshakeFailed(Handshaker handshaker, Throwable error) {
              refused.increment();
              LOG.warn(
                  "DTLS handshake with {} refused: {}", handshaker.getPeerAddress(), reason(error));
            }
          });
    }
  }

  private static String reason(Throwable error) {
    StringBuilder reason = new StringBuilder(String.valueOf(error.getMessage()));
    for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
      reason.append(": ").append(cause.getMessage());
    }
    return reason.toString();
  }
}
