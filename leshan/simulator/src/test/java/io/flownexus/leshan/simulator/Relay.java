package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.network.serialization.UdpDataParser;
import org.eclipse.californium.core.network.serialization.UdpDataSerializer;
import org.eclipse.californium.elements.AddressEndpointContext;

/** Carries datagrams between one device and its server, or drops them: a network that fails. */
final class Relay implements AutoCloseable {
  private final DatagramSocket near = socket();
  private final DatagramSocket far = socket();
  private final SocketAddress server;
  private volatile SocketAddress device;
  private volatile boolean deaf;
  private final Map<Integer, Message> answers = new ConcurrentHashMap<>(); // of the device

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

  /** Send a message to the device as its server does. */
  void send(Message message) throws IOException {
    message.setDestinationContext(new AddressEndpointContext((InetSocketAddress) device));
    byte[] data = new UdpDataSerializer().getByteArray(message);
    near.send(new DatagramPacket(data, data.length, device));
  }

  /** Return the device's answer to the message of an id, or null while there is none. */
  Response answer(int mid) {
    return (Response) answers.get(mid);
  }

  private void note(byte[] data) {
    Message message = new UdpDataParser().parseMessage(data);
    if (message instanceof Response) {
      answers.put(message.getMID(), message);
    }
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
                  byte[] data = Arrays.copyOf(buffer, packet.getLength());
                  if (from == near) {
                    device = packet.getSocketAddress();
                    note(data);
                  }
                  SocketAddress receiver = from == near ? server : device;
                  if (!deaf && receiver != null) {
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
