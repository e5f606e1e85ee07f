package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.coap.option.BlockOption;
import org.eclipse.californium.core.coap.option.StandardOptionRegistry;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Unregistered peers, who have no credentials, cannot fill the server's memory. */
class FloodTest {

  private static final long PATIENCE = 5000;
  private static final int FIRST_BLOCKS = 1500;
  private static final int PORTS = 4000;
  private static final int MESSAGES = 16; // of each port
  private static final int TOGETHER = 64; // so many as the kernel's buffer surely takes

  @TempDir Path folder;
  WebhookReceiver webhooks;
  ServerProcess server;
  RawDevice device;

  @BeforeEach
  void start() throws Exception {
    webhooks = new WebhookReceiver();
    server = new ServerProcess(folder, webhooks, "-Xmx64m", "-XX:+ExitOnOutOfMemoryError");
    device = new RawDevice("raw", server.coapPort);
    device.register(1);
    assertEquals(ResponseCode.CREATED, ((Response) answer(device, 1)).getCode());
    server.json("POST", "/api/clients/raw/3303/0/5700/observe?format=TEXT");
  }

  @AfterEach
  void stop() {
    device.close();
    server.close();
    webhooks.close();
  }

  @Test
  void first_blocks_of_requests_that_never_go_on_leave_room_for_devices() throws Exception {
    BlockOption first = StandardOptionRegistry.BLOCK1.create(0, true, 0);
    try (RawDevice unregistered = new RawDevice("unregistered", server.coapPort)) {
      for (int mid = 1; mid <= FIRST_BLOCKS; mid++) {
        unregistered.block(mid, "/rd?ep=" + mid, 40, first, new byte[16]);
        assertNotNull(unregistered.answer(mid, PATIENCE), "no answer to block " + mid);
      }
    }
    deviceIsServed();
  }

  @Test
  void messages_from_many_ports_leave_room_for_devices() throws Exception {
    for (int port = 0; port < PORTS; port += TOGETHER) {
      for (int each = 0; each < TOGETHER; each++) {
        flood(port + each);
      }
      deviceIsServed(2 + port);
    }
    deviceIsServed();
  }

  // Addresses of the loopback network rather than ports: there are enough of them.
  private void flood(int number) throws Exception {
    InetAddress address =
        InetAddress.getByAddress(new byte[] {127, 1, (byte) (number >> 8), (byte) number});
    InetAddress loopback = InetAddress.getLoopbackAddress();
    try (DatagramSocket socket = new DatagramSocket(new InetSocketAddress(address, 0))) {
      for (int mid = 1; mid <= MESSAGES; mid++) {
        byte[] get = {0x41, 1, 0, (byte) mid, 1}; // GET /
        socket.send(new DatagramPacket(get, get.length, loopback, server.coapPort));
      }
    }
  }

  private void deviceIsServed() throws Exception {
    deviceIsServed(60_000);
    webhooks.await("/single", item -> item.at("/val/value").asDouble() == 60_000);
  }

  private void deviceIsServed(int mid) throws Exception {
    device.notify(mid, mid);
    assertEquals(Type.ACK, answer(device, mid).getType());
  }

  private Message answer(RawDevice from, int mid) throws Exception {
    Message answer = from.answer(mid, PATIENCE);
    assertNotNull(answer, () -> "no answer to " + mid + "; alive: " + server.isAlive());
    return answer;
  }
}
