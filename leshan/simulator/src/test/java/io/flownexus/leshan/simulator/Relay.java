package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.Arrays;

/** Carries datagrams between one device and its server, or drops them: a network that fails. */
final class Relay implements AutoCloseable {
  private final DatagramSocket near = socket();
  private final DatagramSocket far = socket();
  private final SocketAddress server;
  private volatile SocketAddress device;
  private volatile boolean deaf;

  Relay(int serverPort) throws IOException {
    server = new InetSocketAddress(InetAddress.getLoopbackAddress(), serverPort);
    carry(near, far);
    carry(far, near);
  }

  private static DatagramSocket socket() throws IOException {
    return new DatagramSocket(0, InetAddress.getLoopbackAddress());
  }

  /** Return the server's address as the device is to know it. */
  String uri() {
    return "coap://127.0.0.1:" + near.getLocalPort();
  }

  /** Drop all datagrams, or no longer. */
  void drop(boolean all) {
    deaf = all;
  }

  private void carry(DatagramSocket from, DatagramSocket to) {
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
                  }
                  SocketAddress receiver = from == near ? server : device;
                  if (!deaf && receiver != null) {
                    byte[] data = Arrays.copyOf(buffer, packet.getLength());
                    to.send(new DatagramPacket(data, data.length, receiver));
                  }
                } catch (IOException e) {
                  // An unreachable receiver is as good as a dropped datagram.
                }
              }
            });
    thread.setDaemon(true);
    thread.start();
  }

  @Override
  public void close() {
    near.close();
    far.close();
  }
}
