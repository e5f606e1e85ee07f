package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A head that never ends holds no connection, and a request that takes its time keeps its own. */
class HttpHeadTest {

  private static final int DRIPS = 120; // a quarter of a second each: of the limit's 10 s thrice

  @TempDir Path folder;

  @Test
  void head_that_never_ends_is_cut_and_a_slow_device_is_waited_for() throws Exception {
    try (TestServer server = new TestServer(folder);
        TestDevice device = TestDevice.plain("dev", server.application.coapPort()).start();
        Socket first = connect(server);
        Socket later = connect(server)) {
      server.awaitRegistration("dev", 0);
      device.device.readDelayMillis = 15_000;
      CompletableFuture<HttpResponse<String>> slow =
          server.http.sendAsync(
              server.request("/api/clients/dev/3/0/9?timeout=40").build(), BodyHandlers.ofString());
      write(later, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
      assertTrue(later.getInputStream().read() > 0);
      assertTrue(isCut(first), "a first head");
      assertTrue(isCut(later), "a later head");
      assertEquals(200, slow.get(60, TimeUnit.SECONDS).statusCode());
      assertTrue(slow.get().body().contains("CONTENT(205)"), slow.get()::body);
    }
  }

  private static Socket connect(TestServer server) throws IOException {
    Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.application.httpPort());
    socket.setSoTimeout(250);
    return socket;
  }

  /** Send a head a byte at a time; return whether the server ends the connection meanwhile. */
  private static boolean isCut(Socket socket) throws IOException {
    write(socket, "GET /healthz HTTP/1.1\r\nX: ");
    for (int drip = 0; drip < DRIPS; drip++) {
      try {
        write(socket, "x");
        if (socket.getInputStream().read(new byte[4096]) < 0) {
          return true;
        }
      } catch (SocketTimeoutException e) {
        continue;
      } catch (IOException e) {
        return true; // reset
      }
    }
    return false;
  }

  private static void write(Socket socket, String text) throws IOException {
    OutputStream out = socket.getOutputStream();
    out.write(text.getBytes(StandardCharsets.US_ASCII));
    out.flush();
  }
}
