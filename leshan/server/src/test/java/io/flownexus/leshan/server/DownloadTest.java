package io.flownexus.leshan.server;

import static io.flownexus.leshan.server.PackageServer.SIZE;
import static io.flownexus.leshan.server.PackageServer.TOKEN;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.SocketTimeoutException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.coap.option.BlockOption;
import org.eclipse.californium.core.coap.option.StandardOptionRegistry;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Firmware packages by CoAP, block by block, from an HTTP server that has them. */
class DownloadTest {

  private static final long PATIENCE = 5000;
  @TempDir Path folder;
  private PackageServer packages;
  private TestServer server;
  private RawDevice device;

  @BeforeEach
  void open() throws Exception {
    packages = new PackageServer();
    server = new TestServer(folder, packages.uri());
    device = new RawDevice("raw", server.application.coapPort());
  }

  @AfterEach
  void close() {
    device.close();
    server.close();
    packages.close();
  }

  private Response get(int mid, String path, int exponent, int number) throws Exception {
    BlockOption block = StandardOptionRegistry.BLOCK2.create(exponent, false, number);
    device.get(mid, path, block);
    Response answer = (Response) device.answer(mid, PATIENCE);
    assertNotNull(answer);
    return answer;
  }

  @Test
  void package_comes_block_by_block_and_is_read_a_window_ahead() throws Exception {
    ByteArrayOutputStream got = new ByteArrayOutputStream();
    for (int number = 0; ; number++) {
      Response answer = get(100 + number, "/fw/" + TOKEN, 4, number);
      assertEquals(ResponseCode.CONTENT, answer.getCode());
      assertEquals(SIZE, answer.getOptions().getSize2());
      assertEquals(number, answer.getOptions().getBlock2().getNum());
      assertArrayEquals(
          new byte[] {0x01, 0x23, 0x45, 0x67, (byte) 0x89, (byte) 0xab, (byte) 0xcd, (byte) 0xef},
          answer.getOptions().getResponseEtag());
      got.write(answer.getPayload());
      if (!answer.getOptions().getBlock2().isM()) {
        break;
      }
    }
    assertArrayEquals(packages.content, got.toByteArray());
    assertEquals(3, packages.asked.size(), packages.asked.toString());
  }

  @Test
  void any_block_of_any_size_may_be_asked_for_and_again() throws Exception {
    for (int mid = 1; mid <= 2; mid++) {
      Response answer = get(mid, "/fw/" + TOKEN, 2, 300);
      assertArrayEquals(Arrays.copyOfRange(packages.content, 19_200, 19_264), answer.getPayload());
    }
    device.get(3, "/fw/" + TOKEN, null);
    Response first = (Response) device.answer(3, PATIENCE);
    assertNotNull(first);
    assertArrayEquals(Arrays.copyOf(packages.content, 1024), first.getPayload());
    assertTrue(first.getOptions().getBlock2().isM());
    Response last = get(4, "/fw/" + TOKEN, 6, 39);
    assertArrayEquals(Arrays.copyOfRange(packages.content, 39_936, SIZE), last.getPayload());
    assertFalse(last.getOptions().getBlock2().isM());
    assertEquals(ResponseCode.BAD_REQUEST, get(5, "/fw/" + TOKEN, 6, 40).getCode());
    assertEquals(ResponseCode.BAD_REQUEST, get(6, "/fw/" + TOKEN, 6, 1_000_000).getCode());
  }

  @Test
  void elsewhere_there_is_nothing_and_nobody_is_asked() throws Exception {
    int mid = 1;
    for (String path :
        List.of("/fw", "/fw/x", "/fw/..", "/fw/" + TOKEN + "/x", "/fw/%2e%2e%2fetc", "/" + TOKEN)) {
      assertEquals(ResponseCode.NOT_FOUND, get(mid++, path, 6, 0).getCode(), path);
    }
    assertEquals(List.of(), packages.asked);
    assertEquals(ResponseCode.NOT_FOUND, get(mid, "/fw/" + "B".repeat(24), 6, 0).getCode());
    assertEquals(1, packages.asked.size());
  }

  @Test
  void device_that_is_registered_is_named_to_the_server_of_packages() throws Exception {
    get(1, "/fw/" + TOKEN, 6, 0);
    device.register(2);
    assertNotNull(device.answer(2, PATIENCE));
    get(3, "/fw/" + TOKEN, 6, 1);
    assertEquals(List.of("null", "raw"), packages.endpoints);
  }

  @Test
  void while_the_server_of_packages_fails_devices_are_to_come_again() throws Exception {
    packages.failing = 503;
    Response answer = get(1, "/fw/" + TOKEN, 6, 0);
    assertEquals(ResponseCode.SERVICE_UNAVAILABLE, answer.getCode());
    assertEquals(5, answer.getOptions().getMaxAge());
    packages.failing = 0;
    assertEquals(ResponseCode.CONTENT, get(2, "/fw/" + TOKEN, 6, 0).getCode());
  }

  @Test
  void who_asks_for_a_second_block_before_the_first_has_come_gets_it_when_it_asks_again()
      throws Exception {
    packages.hanging = true;
    BlockOption block = StandardOptionRegistry.BLOCK2.create(6, false, 0);
    device.get(1, "/fw/" + "B".repeat(24), block);
    device.get(2, "/fw/" + TOKEN, block);
    assertNull(device.answer(2, 500));
    packages.hanging = false;
    assertNotNull(device.answer(1, PATIENCE));
    assertEquals(ResponseCode.CONTENT, get(2, "/fw/" + TOKEN, 6, 0).getCode());
  }

  @Test
  void thousand_devices_at_once_that_nobody_knows_all_get_on() throws Exception {
    List<DatagramSocket> asking = new ArrayList<>();
    try {
      for (int number = 0; number < 1000; number++) {
        DatagramSocket socket = new DatagramSocket();
        socket.connect(InetAddress.getLoopbackAddress(), server.application.coapPort());
        socket.setSoTimeout(1);
        asking.add(socket);
      }
      List<DatagramSocket> all = List.copyOf(asking);
      for (long wait = 2000; wait < 40_000 && !asking.isEmpty(); wait *= 2) { // RFC 7252, 4.2
        for (DatagramSocket socket : asking) {
          byte[] token = "A%023d".formatted(all.indexOf(socket)).getBytes(US_ASCII);
          byte[] get = new byte[9 + token.length];
          System.arraycopy(new byte[] {0x40, 1, 0, 7, (byte) 0xb2, 'f', 'w', 13, 11}, 0, get, 0, 9);
          System.arraycopy(token, 0, get, 9, token.length);
          socket.send(new DatagramPacket(get, get.length));
          LockSupport.parkNanos(wait * 1000 / 4); // half a second for a thousand
        }
        long until = System.nanoTime() + wait * 1_000_000;
        while (System.nanoTime() - until < 0 && !asking.isEmpty()) {
          asking.removeIf(DownloadTest::hasBlock);
        }
      }
      assertEquals(0, asking.size());
      all.forEach(DatagramSocket::close);
    } finally {
      asking.forEach(DatagramSocket::close);
    }
  }

  private static boolean hasBlock(DatagramSocket socket) {
    DatagramPacket packet = new DatagramPacket(new byte[2048], 2048);
    try {
      socket.receive(packet);
    } catch (SocketTimeoutException error) {
      return false;
    } catch (IOException error) {
      throw new AssertionError(error);
    }
    assertEquals(0x45, packet.getData()[1]); // 2.05
    return true;
  }
}
