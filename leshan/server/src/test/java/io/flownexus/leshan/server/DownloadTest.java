package io.flownexus.leshan.server;

import static io.flownexus.leshan.server.PackageServer.SIZE;
import static io.flownexus.leshan.server.PackageServer.TOKEN;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
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
}
