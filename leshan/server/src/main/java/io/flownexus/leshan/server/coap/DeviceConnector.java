package io.flownexus.leshan.server.coap;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.InetSocketAddress;
import java.util.concurrent.CountDownLatch;
import org.eclipse.californium.scandium.DTLSConnector;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;

/** Speaks DTLS with devices, in the sessions that they had when it last stopped. */
public final class DeviceConnector extends DTLSConnector {

  private final DtlsSessions sessions;
  private final CountDownLatch ready = new CountDownLatch(1);

  public DeviceConnector(DtlsConnectorConfig config, HandshakeLog log, DtlsSessions sessions) {
    super(config);
    this.sessions = sessions;
    addSessionListener(log.sessionListener());
  }

  // Only a connector that runs takes sessions over; what comes meanwhile waits in the socket.
  @Override
  protected void start(InetSocketAddress address) throws IOException {
    super.start(address);
    sessions.load(this);
    ready.countDown();
  }

  @Override
  protected void processDatagram(DatagramPacket packet, InetSocketAddress router) {
    try {
      ready.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return;
    }
    super.processDatagram(packet, router);
  }

  /** Keep the sessions for the next start, once this has stopped. */
  void save() {
    sessions.save(this);
  }
}
