package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
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
  private static final int SIZE = 40_000;
  private static final String TOKEN = "A".repeat(24);
  private static final Pattern RANGE = Pattern.compile("bytes=(\\d+)-(\\d+)");

  @TempDir Path folder;
  private final byte[] content = new byte[SIZE];
  private final List<String> asked = new CopyOnWriteArrayList<>();
  private final List<String> endpoints = new CopyOnWriteArrayList<>();
  private volatile int failing;
  private HttpServer http;
  private TestServer server;
  private RawDevice device;

  @BeforeEach
  void open() throws Exception {
    new Random(7).nextBytes(content);
    http = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    http.setExecutor(Executors.newCachedThreadPool());
    http.createContext("/", this::serve);
    http.start();
    server =
        new TestServer(
            folder, URI.create("http://127.0.0.1:%d/".formatted(http.getAddress().getPort())));
    device = new RawDevice("raw", server.application.coapPort());
  }

  @AfterEach
  void close() {
    device.close();
    server.close();
    http.stop(0);
  }

  private void serve(HttpExchange exchange) throws IOException {
    String range = exchange.getRequestHeaders().getFirst("Range");
    asked.add(exchange.getRequestURI() + " " + range);
    endpoints.add(String.valueOf(exchange.getRequestHeaders().getFirst("X-Endpoint")));
    Matcher found = RANGE.matcher(range);
    assertTrue(found.matches());
    int start = Integer.parseInt(found.group(1));
    int end = Math.min(SIZE, Integer.parseInt(found.group(2)) + 1);
    if (failing > 0) {
      exchange.sendResponseHeaders(failing, -1);
    } else if (!exchange.getRequestURI().getPath().equals("/" + TOKEN)) {
      exchange.sendResponseHeaders(404, -1);
    } else if (start >= SIZE) {
      exchange.sendResponseHeaders(416, -1);
    } else {
      exchange
          .getResponseHeaders()
          .set("Content-Range", "bytes %d-%d/%d".formatted(start, end - 1, SIZE));
      exchange.getResponseHeaders().set("ETag", "\"" + "0123456789abcdef".repeat(4) + "\"");
      exchange.sendResponseHeaders(206, end - start);
      exchange.getResponseBody().write(content, start, end - start);
    }
    exchange.close();
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
    assertArrayEquals(content, got.toByteArray());
    assertEquals(3, asked.size(), asked.toString());
  }

  @Test
  void any_block_of_any_size_may_be_asked_for_and_again() throws Exception {
    for (int mid = 1; mid <= 2; mid++) {
      Response answer = get(mid, "/fw/" + TOKEN, 2, 300);
      assertArrayEquals(Arrays.copyOfRange(content, 19_200, 19_264), answer.getPayload());
    }
    device.get(3, "/fw/" + TOKEN, null);
    Response first = (Response) device.answer(3, PATIENCE);
    assertNotNull(first);
    assertArrayEquals(Arrays.copyOf(content, 1024), first.getPayload());
    assertTrue(first.getOptions().getBlock2().isM());
    Response last = get(4, "/fw/" + TOKEN, 6, 39);
    assertArrayEquals(Arrays.copyOfRange(content, 39_936, SIZE), last.getPayload());
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
    assertEquals(List.of(), asked);
    assertEquals(ResponseCode.NOT_FOUND, get(mid, "/fw/" + "B".repeat(24), 6, 0).getCode());
    assertEquals(1, asked.size());
  }

  @Test
  void device_that_is_registered_is_named_to_the_server_of_packages() throws Exception {
    get(1, "/fw/" + TOKEN, 6, 0);
    device.register(2);
    assertNotNull(device.answer(2, PATIENCE));
    get(3, "/fw/" + TOKEN, 6, 1);
    assertEquals(List.of("null", "raw"), endpoints);
  }

  @Test
  void while_the_server_of_packages_fails_devices_are_to_come_again() throws Exception {
    failing = 503;
    Response answer = get(1, "/fw/" + TOKEN, 6, 0);
    assertEquals(ResponseCode.SERVICE_UNAVAILABLE, answer.getCode());
    assertEquals(5, answer.getOptions().getMaxAge());
    failing = 0;
    assertEquals(ResponseCode.CONTENT, get(2, "/fw/" + TOKEN, 6, 0).getCode());
  }
}
