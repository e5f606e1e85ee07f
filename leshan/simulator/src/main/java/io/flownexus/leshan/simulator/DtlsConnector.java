package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.InetSocketAddress;
import org.eclipse.californium.elements.util.ProtocolScheduledExecutorService;
import org.eclipse.californium.scandium.DTLSConnector;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;

/** Speaks DTLS for a device, and loses what comes or goes while its radio is off. */
final class DtlsConnector extends DTLSConnector {
  private final Radio radio;

  DtlsConnector(
      DtlsConnectorConfig config, Radio radio, ProtocolScheduledExecutorService executor) {
    super(config);
    this.radio = radio;
    setExecutor(executor);
  }

  @Override
  protected void processDatagram(DatagramPacket packet, InetSocketAddress router) {
    if (radio.isOn()) {
      super.processDatagram(packet, router);
    }
  }

  @Override
  protected void sendNextDatagramOverNetwork(DatagramPacket packet) throws IOException {
    if (radio.isOn()) {
      super.sendNextDatagramOverNetwork(packet);
    }
  }
}
