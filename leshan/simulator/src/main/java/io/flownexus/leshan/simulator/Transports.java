package io.flownexus.leshan.simulator;

import java.net.InetSocketAddress;
import org.eclipse.californium.elements.Connector;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.leshan.client.servers.ServerInfo;
import org.eclipse.leshan.transport.californium.client.endpoint.CaliforniumClientEndpointFactory;
import org.eclipse.leshan.transport.californium.client.endpoint.coap.CoapClientEndpointFactory;
import org.eclipse.leshan.transport.californium.client.endpoint.coaps.CoapsClientEndpointFactory;

/** Lets a device speak CoAP over UDP or DTLS, on shared threads and through its radio. */
final class Transports {
  private Transports() {}

  static CaliforniumClientEndpointFactory of(ServerInfo server, Radio radio, Engine engine) {
    return server.isSecure() ? secured(radio, engine) : plain(radio, engine);
  }

  private static CaliforniumClientEndpointFactory plain(Radio radio, Engine engine) {
    return new CoapClientEndpointFactory() {
      @Override
      protected Connector createConnector(InetSocketAddress address, Configuration config) {
        return new UdpConnector(address, radio, engine.poller);
      }
    };
  }

  private static CaliforniumClientEndpointFactory secured(Radio radio, Engine engine) {
    return new CoapsClientEndpointFactory() {
      @Override
      protected Connector createSecuredConnector(DtlsConnectorConfig config) {
        return new DtlsConnector(config, radio, engine.protocol);
      }
    };
  }
}
