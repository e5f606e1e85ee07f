package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.flownexus.leshan.server.WebhookReceiver.Post;
import io.flownexus.leshan.server.WebhookReceiver.Reply;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Response;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What devices were told is kept, is kept, whenever the server is killed. */
class DurabilityTest {

  private static final long PATIENCE = 5000;

  @TempDir Path folder;
  WebhookReceiver webhooks;
  ServerProcess server;
  RawDevice device;

  @BeforeEach
  void start() throws Exception {
    webhooks = new WebhookReceiver();
    start("--max-spool-bytes=1000000");
  }

  void start(String bound) throws Exception {
    server = new ServerProcess(folder, webhooks, "--spool=" + folder.resolve("spool.db"), bound);
    device = observed("raw");
  }

  @AfterEach
  void stop() throws Exception {
    device.close();
    server.close();
    webhooks.close();
  }

  @Test
  void acknowledged_notification_is_stored_once_although_the_server_is_killed() throws Exception {
    Set<Double> acknowledged = ConcurrentHashMap.newKeySet();
    Set<Double> sent = ConcurrentHashMap.newKeySet();
    ExecutorService threads = Executors.newCachedThreadPool();
    List<Future<?>> loads = new ArrayList<>();
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(12);
    for (int i = 0; i < 10; i++) {
      int number = i;
      loads.add(
          threads.submit(
              () -> {
                try (RawDevice own = observed("load-" + number)) {
                  for (int n = 1; System.nanoTime() < end; n++) {
                    double value = number * 100_000 + n;
                    sent.add(value);
                    Message answer = null;
                    while (answer == null) {
                      own.notify(n, value);
                      answer = own.answer(n, 300);
                    }
                    assertEquals(Type.ACK, answer.getType());
                    acknowledged.add(value);
                  }
                }
                return null;
              }));
    }
    for (int kill = 0; kill < 3; kill++) {
      Thread.sleep(1500);
      server.restart();
    }
    for (Future<?> load : loads) {
      load.get(60, TimeUnit.SECONDS);
    }
    threads.shutdown();
    WebhookReceiver.await(() -> server.metric("spool_pending_items") == 0);
    List<Double> stored = stored();
    assertTrue(acknowledged.size() > 300, acknowledged::toString);
    assertEquals(stored.size(), new HashSet<>(stored).size(), "stored twice");
    assertEquals(acknowledged, new HashSet<>(stored));
    assertEquals(sent, acknowledged);
  }

  @Test
  void retransmission_after_a_restart_is_acknowledged_and_stored_once() throws Exception {
    webhooks.behave(post -> new Reply(503, "", null));
    device.notify(100, 1.25);
    assertEquals(Type.ACK, device.answer(100, PATIENCE).getType());
    device.send(101, 2.25);
    assertEquals(ResponseCode.CHANGED, ((Response) device.answer(101, PATIENCE)).getCode());
    server.restart();
    device.notify(100, 1.25);
    assertEquals(Type.ACK, device.answer(100, PATIENCE).getType());
    device.send(101, 2.25);
    assertEquals(ResponseCode.CHANGED, ((Response) device.answer(101, PATIENCE)).getCode());
    assertEquals(2, server.metric("duplicate_messages_total"));
    device.notify(102, 3.25);
    assertEquals(Type.ACK, device.answer(102, PATIENCE).getType());
    webhooks.behave(WebhookReceiver::stored);
    WebhookReceiver.await(() -> server.metric("spool_pending_items") == 0);
    assertEquals(List.of(1.25, 3.25), stored());
    assertEquals(1, sends());
  }

  @Test
  void nothing_is_acknowledged_before_it_is_committed() throws Exception {
    try (Connection connection =
            DriverManager.getConnection("jdbc:sqlite:" + folder.resolve("spool.db"));
        Statement statement = connection.createStatement();
        RawDevice late = new RawDevice("late", server.coapPort)) {
      statement.execute("BEGIN IMMEDIATE");
      device.notify(200, 4.5);
      device.send(201, 5.5);
      late.register(1);
      assertNull(device.answer(200, 700));
      device.notify(200, 4.5);
      assertNull(device.answer(200, 300));
      assertNull(device.answer(201, 1));
      assertNull(late.answer(1, 1));
      statement.execute("COMMIT");
      assertEquals(Type.ACK, device.answer(200, PATIENCE).getType());
      assertEquals(ResponseCode.CHANGED, ((Response) device.answer(201, PATIENCE)).getCode());
      assertEquals(ResponseCode.CREATED, ((Response) late.answer(1, PATIENCE)).getCode());
    }
    webhooks.await("/registration", item -> item.path("ep").asText().equals("late"));
    WebhookReceiver.await(() -> server.metric("spool_pending_items") == 0);
    assertEquals(List.of(4.5), stored());
  }

  @Test
  void registration_and_observation_survive_a_restart() throws Exception {
    JsonNode before = server.json("GET", "/api/clients/raw");
    server.restart();
    assertEquals(before, server.json("GET", "/api/clients/raw"));
    device.notify(300, 6.5);
    assertEquals(Type.ACK, device.answer(300, PATIENCE).getType());
    webhooks.await("/single", item -> item.at("/val/value").asText().equals("6.5"));
    server.call("DELETE", "/api/clients/raw/3303/0/5700/observe");
    server.restart();
    device.notify(301, 7.5);
    assertEquals(Type.RST, device.answer(301, PATIENCE).getType());
  }

  @Test
  void observation_is_committed_before_its_answer() throws Exception {
    CompletableFuture<String> observed;
    CompletableFuture<String> read;
    try (Connection connection =
            DriverManager.getConnection("jdbc:sqlite:" + folder.resolve("spool.db"));
        Statement statement = connection.createStatement()) {
      statement.execute("BEGIN IMMEDIATE");
      String resource = "/api/clients/raw/3303/0/5700";
      observed =
          CompletableFuture.supplyAsync(
              () -> server.call("POST", resource + "/observe?format=TEXT&timeout=30"));
      read = CompletableFuture.supplyAsync(() -> server.call("GET", resource + "?format=TEXT"));
      assertTrue(read.get(5, TimeUnit.SECONDS).contains("CONTENT(205)"));
      assertThrows(TimeoutException.class, () -> observed.get(700, TimeUnit.MILLISECONDS));
      statement.execute("COMMIT");
    }
    assertTrue(observed.get(15, TimeUnit.SECONDS).contains("CONTENT(205)"));
  }

  @Test
  void end_of_an_observation_is_committed_before_its_answer() throws Exception {
    CompletableFuture<String> cancelled;
    try (Connection connection =
            DriverManager.getConnection("jdbc:sqlite:" + folder.resolve("spool.db"));
        Statement statement = connection.createStatement()) {
      statement.execute("BEGIN IMMEDIATE");
      cancelled =
          CompletableFuture.supplyAsync(
              () -> server.call("DELETE", "/api/clients/raw/3303/0/5700/observe"));
      assertThrows(TimeoutException.class, () -> cancelled.get(700, TimeUnit.MILLISECONDS));
      statement.execute("COMMIT");
    }
    assertEquals("", cancelled.get(15, TimeUnit.SECONDS));
    server.restart();
    device.notify(301, 7.5);
    assertEquals(Type.RST, device.answer(301, PATIENCE).getType());
  }

  @Test
  void full_spool_refuses_and_recovers() throws Exception {
    webhooks.behave(post -> new Reply(503, "", null));
    int mid = 400;
    while (true) {
      device.notify(mid, mid);
      if (device.answer(mid, 1000) == null) {
        break;
      }
      mid++;
    }
    assertTrue(mid > 410);
    device.send(mid + 1, 1);
    assertEquals(
        ResponseCode.SERVICE_UNAVAILABLE, ((Response) device.answer(mid + 1, PATIENCE)).getCode());
    device.register(mid + 2);
    assertEquals(
        ResponseCode.SERVICE_UNAVAILABLE, ((Response) device.answer(mid + 2, PATIENCE)).getCode());
    assertTrue(server.log().contains("spool near its bound"), server::toString);
    assertTrue(server.log().contains("spool full"), server::toString);
    webhooks.behave(WebhookReceiver::stored);
    Message answer = null;
    while (answer == null) {
      device.notify(mid, mid);
      answer = device.answer(mid, 500);
    }
    assertEquals(Type.ACK, answer.getType());
    WebhookReceiver.await(() -> server.metric("spool_pending_items") == 0);
    assertEquals(mid - 400 + 1, stored().size());
    assertEquals(mid - 400 + 1, new HashSet<>(stored()).size());
  }

  private RawDevice observed(String endpoint) throws Exception {
    RawDevice raw = new RawDevice(endpoint, server.coapPort);
    raw.register(60_000);
    Message answer = raw.answer(60_000, PATIENCE);
    assertNotNull(answer);
    assertEquals(ResponseCode.CREATED, ((Response) answer).getCode());
    JsonNode observed =
        server.json("POST", "/api/clients/" + endpoint + "/3303/0/5700/observe?format=TEXT");
    assertTrue(observed.path("success").asBoolean(), observed::toString);
    return raw;
  }

  /** Return the values that a function would have stored: those above its mark. */
  private List<Double> stored() {
    Map<String, Long> marks = new HashMap<>();
    List<Double> values = new ArrayList<>();
    for (Post post : webhooks.posts()) {
      if (!post.path().equals("/single")) {
        continue;
      }
      JsonNode body = post.body();
      String lane = body.path("source").asText() + body.path("lane").asInt();
      long seq = body.path("first_seq").asLong();
      for (JsonNode item : body.path("items")) {
        if (seq > marks.getOrDefault(lane, 0L)) {
          marks.put(lane, seq);
          values.add(item.at("/val/value").asDouble());
        }
        seq++;
      }
    }
    return values;
  }

  private long sends() {
    Map<Long, JsonNode> items = new HashMap<>();
    for (Post post : webhooks.posts()) {
      if (post.path().equals("/composite")) {
        items.put(post.body().path("first_seq").asLong(), post.body().path("items"));
      }
    }
    return items.values().stream().mapToLong(JsonNode::size).sum();
  }
}
