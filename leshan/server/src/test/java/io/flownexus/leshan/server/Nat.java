package io.flownexus.leshan.server;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;

/**
 * Carries datagrams between one device and its server, and can give the device a new port there.
 */
final class Nat implements AutoCloseable {

  private final DatagramSocket near = socket();
  private final SocketAddress server;
  private volatile DatagramSocket far = socket();
  private volatile SocketAddress device;

  Nat(int serverPort) throws IOException {
    server = new InetSocketAddress(InetAddress.getLoopbackAddress(), serverPort);
    carry(near);
    carry(far);
  }

  /** Return the port that the device is to take for its server's. */
  int port() {
    return near.getLocalPort();
  }

  /** Return the port by which the server knows the device. */
  int mapped() {
    return far.getLocalPort();
  }

  /** Forget the device, as after a silence: what comes for its old port is lost. */
  void move() throws IOException {
    DatagramSocket old = far;
    far = socket();
    carry(far);
    old.close();
  }

  private static DatagramSocket socket() throws IOException {
    return new DatagramSocket(0, InetAddress.getLoopbackAddress());
  }

  private void carry(DatagramSocket from) {
    Thread thread =
        new Thread(
            () -> {
              byte[] buffer = new byte[65_536];
              while (!from.isClosed()) {
                DatagramPacket packet = new DatagramPacket(buffer, buffer.length);
                try {
                  from.receive(packet);
                  if (from == near) {
                    device = packet.getSocketAddress();
                    packet.setSocketAddress(server);
                    far.send(packet);
                  } else {
                    packet.setSocketAddress(device);
                    near.send(packet);
                  }
                } catch (IOException e) {
                  // as good as lost
                }
              }
            },
            "nat");
    thread.setDaemon(true);
    thread.start();
  }

  @Override
  public void close() {
    near.close();
    far.close();
  }
}
