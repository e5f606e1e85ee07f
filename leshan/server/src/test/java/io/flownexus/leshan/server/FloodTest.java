package io.flownexus.leshan.server;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.concurrent.locks.LockSupport;
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
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Unregistered peers, who have no credentials, cannot fill the server's memory. */
class FloodTest {

  private static final long PATIENCE = 5000;
  private static final int FIRST_BLOCKS = 1500;
  private static final int PORTS = 4000;
  private static final int MESSAGES = 16; // of each port
  private static final int TOKENS = 60_000;
  private static final int TOGETHER = 64; // so many as the kernel's buffer surely takes

  @TempDir Path folder;
  WebhookReceiver webhooks;
  PackageServer packages;
  ServerProcess server;
  RawDevice device;

  @BeforeEach
  void start() throws Exception {
    webhooks = new WebhookReceiver();
    packages = new PackageServer();
    server =
        new ServerProcess(
            folder,
            webhooks,
            "-Xmx64m",
            "-XX:+ExitOnOutOfMemoryError",
            "--firmware-url=" + packages.uri());
    device = new RawDevice("raw", server.coapPort);
    device.register(1);
    assertEquals(ResponseCode.CREATED, ((Response) answer(device, 1)).getCode());
    server.json("POST", "/api/clients/raw/3303/0/5700/observe?format=TEXT");
  }

  @AfterEach
  void stop() {
    device.close();
    server.close();
    packages.close();
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

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void wrong_tokens_of_packages_leave_room_for_devices_that_download(boolean hanging)
      throws Exception {
    packages.hanging = hanging;
    try (RawDevice stranger = new RawDevice("stranger", server.coapPort)) {
      assertBlock(stranger, 1, 0); // it began before the flood, and is known by its token
      Thread flood = new Thread(this::floodWithTokens, "flood");
      flood.start();
      int mid = 1000;
      for (int number = 0; flood.isAlive() || number < 40; number++, mid += 10) {
        assertBlock(device, mid, number % 40);
        assertBlock(stranger, mid, number % 40);
        deviceIsServed(mid + 9);
        Thread.sleep(20);
      }
    }
    deviceIsServed();
  }

  private void assertBlock(RawDevice from, int mid, int number) throws Exception {
    BlockOption block = StandardOptionRegistry.BLOCK2.create(6, false, number);
    Response answer = null;
    for (int tries = 0; tries < 3 && answer == null; tries++) { // as CoAP sends it again
      from.get(mid, "/fw/" + PackageServer.TOKEN, block);
      answer = (Response) from.answer(mid, 2500);
    }
    assertNotNull(answer, () -> "no block " + number + "; alive: " + server.isAlive());
    assertEquals(ResponseCode.CONTENT, answer.getCode());
  }

  // Of 5,000 a second, each with another token; not confirmable.
  private void floodWithTokens() {
    try (DatagramSocket socket = new DatagramSocket()) {
      InetAddress loopback = InetAddress.getLoopbackAddress();
      long began = System.nanoTime();
      for (int each = 0; each < TOKENS; each++) {
        byte[] get = ("____\u00b2fw\r\u000b%024d".formatted(each)).getBytes(ISO_8859_1);
        get[0] = 0x50;
        get[1] = 1;
        get[2] = (byte) (each >> 8);
        get[3] = (byte) each;
        socket.send(new DatagramPacket(get, get.length, loopback, server.coapPort));
        LockSupport.parkNanos(began + each * 200_000L - System.nanoTime());
      }
    } catch (IOException error) {
      throw new AssertionError(error);
    }
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
