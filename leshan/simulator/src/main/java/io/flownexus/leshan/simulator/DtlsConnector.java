package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.InetSocketAddress;
import org.eclipse.californium.elements.util.ProtocolScheduledExecutorService;
import org.eclipse.californium.scandium.DTLSConnector;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.californium.scandium.dtls.DTLSContext;
import org.eclipse.californium.scandium.dtls.Handshaker;
import org.eclipse.californium.scandium.dtls.SessionAdapter;

/** Speaks DTLS for a device, and loses what comes or goes while its radio is off. */
final class DtlsConnector extends DTLSConnector {
  private final Radio radio;
  private volatile boolean shakingHands;

  DtlsConnector(
      DtlsConnectorConfig config, Radio radio, ProtocolScheduledExecutorService executor) {
    super(config);
    this.radio = radio;
    setExecutor(executor);
    addSessionListener(new HandshakeWatch());
  }

  /** Tell whether a handshake was begun that did not end well yet. */
  boolean isShakingHands() {
    return shakingHands;
  }

  private final class HandshakeWatch extends SessionAdapter {
    @Override
    public void handshakeStarted(Handshaker handshaker) {
      shakingHands = true;
    }

    @Override
    public void contextEstablished(Handshaker handshaker, DTLSContext context) {
      shakingHands = false;
    }
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
