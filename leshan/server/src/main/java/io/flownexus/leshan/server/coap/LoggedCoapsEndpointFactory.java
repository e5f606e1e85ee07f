package io.flownexus.leshan.server.coap;

import java.util.function.Consumer;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.elements.Connector;
import org.eclipse.californium.scandium.DTLSConnector;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.leshan.core.endpoint.EndPointUriHandler;
import org.eclipse.leshan.core.endpoint.EndpointUri;
import org.eclipse.leshan.transport.californium.server.endpoint.coaps.CoapsServerEndpointFactory;

/** Makes a CoAPS endpoint that tells of each refused handshake in one line. */
final class LoggedCoapsEndpointFactory extends CoapsServerEndpointFactory {

  private final HandshakeLog log;

  LoggedCoapsEndpointFactory(
      EndpointUri uri,
      EndPointUriHandler uris,
      HandshakeLog log,
      Consumer<CoapEndpoint.Builder> initializer) {
    super(uri, null, null, config -> config.setConnectionListener(log), initializer, uris);
    this.log = log;
  }

  @Override
  protected Connector createConnector(DtlsConnectorConfig config) {
    return new LoggedConnector(config, log);
  }

  private static final class LoggedConnector extends DTLSConnector {

    LoggedConnector(DtlsConnectorConfig config, HandshakeLog log) {
      super(config);
      addSessionListener(log.sessionListener());
      setAlertHandler(log);
    }
  }
}
