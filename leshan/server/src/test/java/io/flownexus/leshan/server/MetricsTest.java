package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.flownexus.leshan.server.base.Metrics;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What Prometheus sees of the whole server. */
class MetricsTest {

  @TempDir Path folder;
  @TempDir Path other;
  TestServer server;

  @BeforeEach
  void start() throws Exception {
    server = new TestServer(folder);
  }

  @AfterEach
  void stop() {
    server.close();
  }

  @Test
  void metrics_have_a_port_on_which_nothing_else_is_answered() throws Exception {
    HttpResponse<String> answer = get("GET", "/metrics");
    assertEquals(200, answer.statusCode());
    assertEquals(Metrics.CONTENT_TYPE, answer.headers().firstValue("Content-Type").orElse(""));
    assertTrue(answer.body().contains("# TYPE flownexus_leshan_spool_bytes gauge\n"), answer::body);
    for (String path : List.of("/", "/healthz", "/api/clients", "/metrics/more", "/%2e/api")) {
      HttpResponse<String> none = get("GET", path);
      assertTrue(none.statusCode() == 404 || none.statusCode() == 400, path);
    }
    assertEquals(405, get("POST", "/metrics").statusCode());
    assertEquals(404, server.call("GET", "/metrics").statusCode());
  }

  @Test
  void posts_commits_and_requests_are_timed() throws Exception {
    try (TestDevice device = TestDevice.plain("one", server.application.coapPort())) {
      device.start();
      server.awaitRegistration("one", 0);
      WebhookReceiver.await(
          () -> server.metric("webhook_post_seconds_count{kind=\"registration\"}") == 1);
      assertTrue(server.metric("spool_commit_seconds_count") >= 1);
      server.json("GET", "/api/clients/one/3303/0/5700");
      server.call("GET", "/api/clients/one/3303/0/5700?format=TLV&timeout=0.001");
      assertEquals(
          2,
          server.metric("request_seconds_count{result=\"ok\"}")
              + server.metric("request_seconds_count{result=\"timeout\"}"));
    }
  }

  @Test
  void port_that_is_taken_stops_the_start_and_names_the_flag() throws Exception {
    int taken = server.application.metricsPort();
    AssertionError error =
        assertThrows(
            AssertionError.class,
            () -> new ServerProcess(other, server.webhooks, "--metrics-port=" + taken));
    assertTrue(
        error.getMessage().startsWith("leshan-server: cannot open metrics port 127.0.0.1:" + taken),
        error::getMessage);
    assertTrue(error.getMessage().contains("--metrics-port"), error::getMessage);
  }

  private HttpResponse<String> get(String method, String path) throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(server.metricsUri(path))
            .method(method, BodyPublishers.noBody())
            .build();
    return server.http.send(request, BodyHandlers.ofString());
  }
}
