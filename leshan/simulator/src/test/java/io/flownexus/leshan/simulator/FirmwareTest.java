package io.flownexus.leshan.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.request.ExecuteRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.response.ReadResponse;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FirmwareTest {
  private static final String EP = "fw-0001";

  @TempDir Path folder;
  private final CountDownLatch stalled = new CountDownLatch(1);
  private TestServer server;
  private Running running;
  private HttpServer http;

  @BeforeEach
  void start() throws Exception {
    http = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    http.setExecutor(java.util.concurrent.Executors.newCachedThreadPool());
    serve("/good", "name=demo\nversion=2.0.1\n\nimage".getBytes(StandardCharsets.UTF_8));
    serve("/broken", "version=3\nsha256=00\n\nimage".getBytes(StandardCharsets.UTF_8));
    serve("/failing", "version=4\nresult=8\n\nimage".getBytes(StandardCharsets.UTF_8));
    serve("/large", new byte[100_001]);
    http.createContext(
        "/stalled",
        exchange -> {
          exchange.sendResponseHeaders(200, 1000);
          exchange.getResponseBody().write(new byte[10]);
          exchange.getResponseBody().flush();
          try {
            stalled.await();
          } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
          }
          exchange.close();
        });
    http.start();
    server = new TestServer();
    running = new Running(folder, server.uri(Protocol.COAP), "prefix=fw-,notify=0");
    server.nextRegistration();
    server.send(EP, new ObserveRequest(5, 0, 3), 10_000);
    server.send(EP, new ObserveRequest(5, 0, 5), 10_000);
  }

  private void serve(String path, byte[] body) {
    http.createContext(
        path,
        exchange -> {
          exchange.sendResponseHeaders(200, body.length);
          exchange.getResponseBody().write(body);
          exchange.close();
        });
  }

  @AfterEach
  void stop() throws Exception {
    stalled.countDown();
    running.close();
    server.close();
    http.stop(0);
  }

  private ResponseCode writeUri(String uri) throws Exception {
    return server.send(EP, new WriteRequest(5, 0, 1, uri), 10_000).getCode();
  }

  private ResponseCode writeFile(String path) throws Exception {
    return writeUri("http://127.0.0.1:" + http.getAddress().getPort() + path);
  }

  private Object read(int object, int resource) throws Exception {
    return ((LwM2mSingleResource)
            server.send(EP, new ReadRequest(object, 0, resource), 10_000).getContent())
        .getValue();
  }

  private void awaitNotified(int resource, long value) throws Exception {
    TestServer.await(
        () ->
            server.notified.stream()
                .anyMatch(
                    each -> each.path().equals("/5/0/" + resource) && each.value().equals(value)),
        "/5/0/" + resource + " = " + value + " in " + server.notified);
  }

  private void expectFailure(long result) throws Exception {
    awaitNotified(5, result);
    assertEquals(0L, read(5, 3));
    assertEquals(result, read(5, 5));
    assertEquals("1.0.0", read(5, 7));
  }

  @Test
  void downloads_and_installs_a_package() throws Exception {
    assertEquals(ResponseCode.CHANGED, writeFile("/good"));
    awaitNotified(3, 2);
    assertEquals(0L, read(5, 5));

    assertEquals(
        ResponseCode.CHANGED, server.send(EP, new ExecuteRequest(5, 0, 2), 10_000).getCode());
    awaitNotified(5, 1);
    server.nextRegistration();

    assertEquals(
        List.of(1L, 2L, 3L, 0L),
        server.notified.stream()
            .filter(each -> each.path().equals("/5/0/3"))
            .map(TestServer.Notified::value)
            .toList());
    assertEquals("2.0.1", read(5, 7));
    assertEquals("2.0.1", read(3, 3));
    assertEquals("demo", read(5, 6));
  }

  @Test
  void takes_a_package_by_write() throws Exception {
    byte[] image = new byte[20_000];
    assertEquals(
        ResponseCode.CHANGED, server.send(EP, new WriteRequest(5, 0, 0, image), 10_000).getCode());
    assertEquals(2L, read(5, 3));

    server.send(EP, new ExecuteRequest(5, 0, 2), 10_000);
    awaitNotified(5, 1);
    assertTrue(((String) read(5, 7)).startsWith("sha-"));
  }

  @Test
  void an_empty_uri_resets() throws Exception {
    writeFile("/good");
    awaitNotified(3, 2);

    assertEquals(ResponseCode.CHANGED, writeUri(""));

    assertEquals(0L, read(5, 3));
    assertEquals(0L, read(5, 5));
    assertEquals(
        ResponseCode.METHOD_NOT_ALLOWED,
        server.send(EP, new ExecuteRequest(5, 0, 2), 10_000).getCode());
  }

  @Test
  void a_uri_that_is_none_or_not_found_is_result_7() throws Exception {
    assertEquals(ResponseCode.CHANGED, writeUri("not a uri"));
    expectFailure(7);
    writeFile("/absent");
    TestServer.await(
        () -> server.notified.stream().filter(n -> n.value().equals(7L)).count() == 2, "7 again");
    expectFailure(7);
    assertEquals(ResponseCode.BAD_REQUEST, writeFile("/" + "x".repeat(255)));
  }

  @Test
  void a_refused_connection_is_result_4() throws Exception {
    int port;
    try (ServerSocket closed = new ServerSocket(0)) {
      port = closed.getLocalPort();
    }
    writeUri("http://127.0.0.1:" + port + "/good");
    expectFailure(4);
  }

  @Test
  void a_download_that_stalls_is_result_4() throws Exception {
    writeFile("/stalled");
    expectFailure(4);
  }

  @Test
  void a_package_too_large_is_result_2() throws Exception {
    writeFile("/large");
    expectFailure(2);
  }

  @Test
  void a_package_with_another_hash_is_result_5() throws Exception {
    writeFile("/broken");
    expectFailure(5);
  }

  @Test
  void another_protocol_is_result_9() throws Exception {
    writeUri("coap://127.0.0.1/good");
    expectFailure(9);
  }

  @Test
  void a_device_downloads_by_coap_only_as_it_talks_to_its_server() throws Exception {
    running.close();
    running = new Running(folder, server.uri(Protocol.COAP), "prefix=coap-,notify=0,download=coap");
    assertEquals("coap-0001", server.nextRegistration().getEndpoint());
    server.send("coap-0001", new WriteRequest(5, 0, 1, "coaps://127.0.0.1/good"), 10_000);
    ReadResponse told = server.send("coap-0001", new ReadRequest(5, 0), 10_000);
    LwM2mObjectInstance object = (LwM2mObjectInstance) told.getContent();
    assertEquals(9L, object.getResource(5).getValue());
    assertEquals(1, object.getResource(8).getInstances().size());
    assertEquals(0L, object.getResource(8).getValue(0));
  }

  @Test
  void a_failed_install_is_result_8_and_stays_downloaded() throws Exception {
    writeFile("/failing");
    awaitNotified(3, 2);
    server.send(EP, new ExecuteRequest(5, 0, 2), 10_000);
    awaitNotified(5, 8);
    assertEquals(2L, read(5, 3));
    assertEquals("1.0.0", read(3, 3));
  }
}
