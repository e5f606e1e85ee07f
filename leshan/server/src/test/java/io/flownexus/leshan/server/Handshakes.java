package io.flownexus.leshan.server;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.eclipse.californium.elements.AddressEndpointContext;
import org.eclipse.californium.elements.RawData;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.elements.config.SystemConfig;
import org.eclipse.californium.scandium.DTLSConnector;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.californium.scandium.dtls.PskPublicInformation;
import org.eclipse.californium.scandium.dtls.pskstore.SinglePskStore;

/** Clients that begin DTLS handshakes with a pre-shared key, each from a port of its own. */
final class Handshakes implements AutoCloseable {

  private final InetSocketAddress server;
  private final List<DTLSConnector> clients = new ArrayList<>();

  Handshakes(int port) {
    server = new InetSocketAddress(InetAddress.getLoopbackAddress(), port);
  }

  /** Begin a handshake, with an identity of any bytes. */
  void begin(byte[] identity, byte[] key) throws IOException {
    Configuration configuration =
        new Configuration(SystemConfig.DEFINITIONS, DtlsConfig.DEFINITIONS)
            .set(DtlsConfig.DTLS_RECEIVER_THREAD_COUNT, 1)
            .set(DtlsConfig.DTLS_CONNECTOR_THREAD_COUNT, 1);
    String text = new String(identity, StandardCharsets.UTF_8);
    DTLSConnector client =
        new DTLSConnector(
            DtlsConnectorConfig.builder(configuration)
                .setAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .setPskStore(new SinglePskStore(new PskPublicInformation(text, identity), key))
                .build());
    clients.add(client);
    client.setRawDataReceiver(received -> {});
    client.start();
    client.send(RawData.outbound(new byte[1], new AddressEndpointContext(server), null, false));
  }

  @Override
  public void close() {
    clients.forEach(DTLSConnector::destroy);
  }
}
