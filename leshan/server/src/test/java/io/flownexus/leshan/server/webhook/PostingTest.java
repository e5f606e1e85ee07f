package io.flownexus.leshan.server.webhook;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.flownexus.leshan.server.WebhookReceiver;
import io.flownexus.leshan.server.WebhookReceiver.Post;
import io.flownexus.leshan.server.WebhookReceiver.Reply;
import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.Tokens;
import io.flownexus.leshan.server.spool.DiskSpool;
import io.flownexus.leshan.server.spool.Journal;
import java.lang.reflect.Proxy;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Lanes, batches and retries, against a real HTTP server. */
class PostingTest {

  // As flownexus/web.py writes it.
  private static final Reply UNREADABLE =
      new Reply(
          400,
          "{\"type\":\"urn:flownexus:problem:unreadable-delivery\",\"title\":\"Bad request\","
              + "\"status\":400,\"detail\":\"the body is not JSON\"}",
          null);

  private static final long BOUND_BYTES = 40_000; // a thousand of these items are more

  @TempDir Path folder;
  Journal journal;
  DiskSpool spool;
  WebhookReceiver receiver;
  Webhooks webhooks;

  @BeforeEach
  void start() throws Exception {
    Metrics metrics = new Metrics();
    journal = new Journal(folder.resolve("spool.db"), metrics);
    spool = new DiskSpool(journal, 2, BOUND_BYTES, metrics);
    journal.start();
    receiver = new WebhookReceiver();
    Files.writeString(folder.resolve("token"), "secret");
    webhooks = new Webhooks(spool, settings(100), metrics);
  }

  @AfterEach
  void stop() {
    webhooks.close(Duration.ZERO);
    receiver.close();
    spool.close();
    journal.close();
  }

  @Test
  void idle_lane_posts_at_once_and_a_batch_forms_meanwhile() throws Exception {
    CountDownLatch go = new CountDownLatch(1);
    receiver.behave(
        post -> {
          go.await();
          return WebhookReceiver.stored(post);
        });
    append("ep", 0);
    WebhookReceiver.await(() -> receiver.posts().size() == 1);
    append("ep", 1, 251);
    Thread.sleep(50);
    assertEquals(1, receiver.posts().size());
    go.countDown();
    WebhookReceiver.await(() -> spool.pending() == 0);
    assertEquals(List.of(1, 100, 100, 50), sizes());
    assertEquals(
        IntStream.range(0, 251).boxed().toList(),
        receiver.items("/single").stream().map(item -> item.path("n").asInt()).toList());
    assertEquals(
        List.of(1L, 2L, 102L, 202L),
        receiver.posts().stream().map(post -> post.body().path("first_seq").asLong()).toList());
    assertEquals("Bearer secret", receiver.posts().get(0).authorization());
  }

  @Test
  void busy_lane_gathers_for_a_moment_after_a_large_batch() throws Exception {
    CountDownLatch go = new CountDownLatch(1);
    List<Long> times = new CopyOnWriteArrayList<>();
    receiver.behave(
        post -> {
          go.await();
          times.add(System.nanoTime());
          if (times.size() == 2) {
            append("ep", 101);
          }
          return WebhookReceiver.stored(post);
        });
    append("ep", 0);
    WebhookReceiver.await(() -> receiver.posts().size() == 1);
    append("ep", 1, 101);
    go.countDown();
    WebhookReceiver.await(() -> times.size() == 3 && spool.pending() == 0);
    assertEquals(List.of(1, 100, 1), sizes());
    assertTrue(times.get(2) - times.get(1) >= 50_000_000L);
  }

  @Test
  void very_busy_lane_gathers_longer_unless_a_full_batch_waits() throws Exception {
    webhooks.close(Duration.ZERO);
    webhooks = new Webhooks(spool, settings(600), new Metrics());
    CountDownLatch go = new CountDownLatch(1);
    List<Long> times = new CopyOnWriteArrayList<>();
    receiver.behave(
        post -> {
          go.await();
          times.add(System.nanoTime());
          return WebhookReceiver.stored(post);
        });
    append("ep", 0);
    WebhookReceiver.await(() -> receiver.posts().size() == 1);
    int full = 20;
    append("ep", 1, full * 600 + 2);
    go.countDown();
    WebhookReceiver.await(() -> spool.pending() == 0);
    List<Integer> expected = new ArrayList<>(Collections.nCopies(full + 2, 600));
    expected.set(0, 1);
    expected.set(full + 1, 1);
    assertEquals(expected, sizes());
    assertTrue(times.get(full) - times.get(1) < full * 150_000_000L);
    assertTrue(times.get(full + 1) - times.get(full) >= 150_000_000L);
  }

  @Test
  void endpoint_keeps_its_lane_and_kinds_number_apart() throws Exception {
    for (int i = 0; i < 40; i++) {
      append("ep-" + i % 4, i);
    }
    spool.append(List.of(item(WebhookKind.COMPOSITE, "ep-0", 0)), null);
    WebhookReceiver.await(() -> spool.pending() == 0);
    Set<Integer> lanes = new HashSet<>();
    for (int ep = 0; ep < 4; ep++) {
      Set<Integer> own = new HashSet<>();
      List<Integer> order = new ArrayList<>();
      for (Post post : receiver.posts()) {
        for (JsonNode item : post.body().path("items")) {
          if (post.path().equals("/single") && item.path("ep").asText().equals("ep-" + ep)) {
            own.add(post.body().path("lane").asInt());
            order.add(item.path("n").asInt());
          }
        }
      }
      assertEquals(1, own.size());
      assertEquals(order.stream().sorted().toList(), order);
      lanes.addAll(own);
    }
    assertEquals(Set.of(0, 1), lanes);
    Post composite =
        receiver.posts().stream().filter(p -> p.path().equals("/composite")).findFirst().get();
    assertEquals(1, composite.body().path("first_seq").asLong());
  }

  @ParameterizedTest
  @ValueSource(ints = {201, 302, 401, 403, 404, 408, 429, 500, 502, 503})
  void any_other_answer_keeps_the_items_and_tries_again(int status) throws Exception {
    AtomicInteger posts = new AtomicInteger();
    receiver.behave(
        post ->
            posts.incrementAndGet() < 4
                ? new Reply(status, "no", null)
                : WebhookReceiver.stored(post));
    append("ep", 1);
    WebhookReceiver.await(() -> spool.pending() == 0);
    assertEquals(4, receiver.posts().size());
    assertEquals(1, receiver.posts().stream().map(Post::body).distinct().count());
  }

  @Test
  void silent_function_is_tried_again() throws Exception {
    AtomicInteger posts = new AtomicInteger();
    receiver.behave(
        post -> {
          if (posts.incrementAndGet() == 1) {
            Thread.sleep(5000);
          }
          return WebhookReceiver.stored(post);
        });
    append("ep", 1);
    WebhookReceiver.await(() -> spool.pending() == 0);
    assertEquals(2, receiver.posts().size());
  }

  @Test
  void retry_after_is_honoured() throws Exception {
    AtomicInteger posts = new AtomicInteger();
    receiver.behave(
        post ->
            posts.incrementAndGet() == 1 ? new Reply(503, "", "1") : WebhookReceiver.stored(post));
    long before = System.nanoTime();
    append("ep", 1);
    WebhookReceiver.await(() -> spool.pending() == 0);
    assertTrue(System.nanoTime() - before >= 1_000_000_000L);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "<html>Welcome to the WiFi</html>",
        "{}",
        "{\"mark\":null}",
        "{\"mark\":\"3\"}",
        "{\"stored\":3,\"skipped\":0,\"mark\":2,\"rejected\":[]}"
      })
  void answer_200_without_the_batchs_mark_keeps_the_items(String body) throws Exception {
    CountDownLatch go = new CountDownLatch(1);
    AtomicInteger posts = new AtomicInteger();
    receiver.behave(
        post -> {
          go.await();
          return post.body().path("items").size() == 3 && posts.incrementAndGet() < 4
              ? new Reply(200, body, null)
              : WebhookReceiver.stored(post);
        });
    append("other", 0); // holds the lane back until all three are there
    WebhookReceiver.await(() -> receiver.posts().size() == 1);
    IntStream.range(1, 4).forEach(i -> append("other", i));
    go.countDown();
    WebhookReceiver.await(() -> spool.pending() == 0);
    assertEquals(4, posts.get());
    assertEquals(List.of(1, 3, 3, 3, 3), sizes());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"no such route", "{\"type\":\"about:blank\",\"status\":400}", "\"urn\"", "[]"})
  void answer_400_of_something_on_the_way_keeps_the_items(String body) throws Exception {
    AtomicInteger posts = new AtomicInteger();
    receiver.behave(
        post ->
            posts.incrementAndGet() < 4
                ? new Reply(400, body, null)
                : WebhookReceiver.stored(post));
    append("ep", 1);
    WebhookReceiver.await(() -> spool.pending() == 0);
    assertEquals(4, receiver.posts().size());
    assertEquals(List.of(), spool.setAside(10));
  }

  @Test
  void item_by_itself_too_large_for_something_on_the_way_is_kept() throws Exception {
    AtomicInteger posts = new AtomicInteger();
    receiver.behave(
        post ->
            posts.incrementAndGet() < 4
                ? new Reply(413, "too large", null)
                : WebhookReceiver.stored(post));
    append("ep", 1);
    WebhookReceiver.await(() -> spool.pending() == 0);
    assertEquals(4, receiver.posts().size());
    assertEquals(List.of(), spool.setAside(10));
  }

  @Test
  void run_of_items_set_aside_stops_the_lane_for_a_while() throws Exception {
    webhooks.close(Duration.ZERO);
    Map<WebhookKind, URI> targets = Map.of(WebhookKind.SINGLE, receiver.uri("/single"));
    Tokens tokens = Tokens.read(folder.resolve("token"));
    Duration hour = Duration.ofHours(1); // what follows a run waits as long as the longest retry
    webhooks =
        new Webhooks(
            spool,
            new WebhookSettings(
                targets, tokens, 2, 100, Duration.ofSeconds(3), Duration.ofMillis(10), hour),
            new Metrics());
    receiver.behave(post -> UNREADABLE);
    append("ep", 0, 20);
    WebhookReceiver.await(() -> spool.setAside(20).size() == 5);
    int posts = receiver.posts().size();
    Thread.sleep(500);
    assertEquals(posts, receiver.posts().size());
    assertEquals(5, spool.setAside(20).size());
    assertEquals(15, spool.pending());
    assertEquals(List.of(), webhooks.troubles());
  }

  @Test
  void what_was_set_aside_can_be_posted_again() throws Exception {
    receiver.behave(post -> UNREADABLE);
    append("ep", 1);
    WebhookReceiver.await(() -> spool.setAside(10).size() == 1);
    receiver.behave(WebhookReceiver::stored);
    assertEquals(1, spool.postSetAside(10).toCompletableFuture().get());
    WebhookReceiver.await(() -> spool.pending() == 0);
    List<Post> posts = receiver.posts();
    assertEquals(
        posts.get(0).body().path("items"), posts.get(posts.size() - 1).body().path("items"));
    assertEquals(List.of(), spool.setAside(10));
  }

  @Test
  void error_in_its_thread_neither_ends_a_lane_nor_passes_unseen() throws Exception {
    webhooks.close(Duration.ZERO);
    AtomicBoolean broken = new AtomicBoolean(true);
    Spool breaking =
        (Spool)
            Proxy.newProxyInstance(
                getClass().getClassLoader(),
                new Class<?>[] {Spool.class},
                (proxy, method, arguments) -> {
                  if (method.getName().equals("peek") && broken.get()) {
                    throw new StackOverflowError();
                  }
                  return method.invoke(spool, arguments);
                });
    Map<WebhookKind, URI> targets = Map.of(WebhookKind.SINGLE, receiver.uri("/single"));
    webhooks =
        new Webhooks(
            breaking,
            new WebhookSettings(
                targets,
                Tokens.read(folder.resolve("token")),
                2,
                100,
                Duration.ofSeconds(3),
                Duration.ofMillis(10),
                Duration.ofMillis(50)),
            new Metrics());
    append("ep", 1);
    WebhookReceiver.await(
        () -> webhooks.troubles().stream().anyMatch(t -> t.contains("single lane")));
    broken.set(false);
    WebhookReceiver.await(() -> spool.pending() == 0);
    WebhookReceiver.await(() -> webhooks.troubles().isEmpty());
    assertEquals(1, receiver.items("/single").size());
  }

  @ParameterizedTest
  @ValueSource(ints = {400, 413})
  void refused_batch_is_halved_until_the_culprit_is_alone(int status) throws Exception {
    CountDownLatch go = new CountDownLatch(1);
    receiver.behave(
        post -> {
          go.await();
          JsonNode items = post.body().path("items");
          boolean bad = items.valueStream().anyMatch(i -> i.path("n").asInt() == 37);
          if (!bad) {
            return WebhookReceiver.stored(post);
          }
          return status == 413 && items.size() > 1 ? new Reply(413, "large", null) : UNREADABLE;
        });
    append("ep", 0, 101);
    go.countDown();
    WebhookReceiver.await(() -> spool.pending() == 0);
    WebhookReceiver.await(() -> spool.setAside(10).size() == 1);
    List<SetAside> aside = spool.setAside(10);
    assertEquals(38, aside.get(0).seq());
    assertTrue(aside.get(0).reason().startsWith("400 "));
    Set<Integer> stored = new HashSet<>();
    for (Post post : receiver.posts()) {
      List<Integer> all =
          post.body().path("items").valueStream().map(i -> i.path("n").asInt()).toList();
      if (!all.contains(37)) {
        assertTrue(all.stream().allMatch(stored::add));
      }
    }
    assertEquals(100, stored.size());
  }

  @Test
  void mark_above_all_numbers_given_takes_a_new_source_and_posts_again() throws Exception {
    AtomicInteger posts = new AtomicInteger();
    receiver.behave(
        post ->
            posts.incrementAndGet() == 1
                ? new Reply(200, "{\"stored\":0,\"skipped\":1,\"mark\":77,\"rejected\":[]}", null)
                : WebhookReceiver.stored(post));
    append("ep", 1);
    WebhookReceiver.await(() -> spool.pending() == 0);
    JsonNode first = receiver.posts().get(0).body();
    JsonNode second = receiver.posts().get(1).body();
    assertNotEquals(first.path("source"), second.path("source"));
    assertEquals(first.path("items"), second.path("items"));
  }

  @Test
  void spool_accepts_nothing_more_at_its_bound() throws Exception {
    receiver.behave(post -> new Reply(503, "", null));
    append("ep", 0, 1000);
    assertFalse(spool.accepting());
    receiver.behave(WebhookReceiver::stored);
    WebhookReceiver.await(() -> spool.pending() == 0);
    assertTrue(spool.accepting());
  }

  @Test
  void close_waits_for_what_is_pending() {
    receiver.behave(
        post -> {
          Thread.sleep(200);
          return WebhookReceiver.stored(post);
        });
    append("ep", 1);
    append("ep", 2);
    assertEquals(0, webhooks.close(Duration.ofSeconds(5)));
    assertEquals(2, receiver.items("/single").size());
  }

  private WebhookSettings settings(int batchItems) throws Exception {
    return new WebhookSettings(
        Map.of(
            WebhookKind.SINGLE, receiver.uri("/single"),
            WebhookKind.COMPOSITE, receiver.uri("/composite"),
            WebhookKind.REGISTRATION, receiver.uri("/registration")),
        Tokens.read(folder.resolve("token")),
        2,
        batchItems,
        Duration.ofSeconds(3),
        Duration.ofMillis(10),
        Duration.ofMillis(50));
  }

  private List<Integer> sizes() {
    return receiver.posts().stream().map(post -> post.body().path("items").size()).toList();
  }

  private void append(String endpoint, int n) {
    append(endpoint, n, n + 1);
  }

  private void append(String endpoint, int from, int to) {
    CompletionStage<Void> last = null; // the others are in its transaction, or an earlier one
    for (int n = from; n < to; n++) {
      last = spool.append(List.of(item(WebhookKind.SINGLE, endpoint, n)), null);
    }
    last.toCompletableFuture().join();
  }

  private static Item item(WebhookKind kind, String endpoint, int n) {
    String json = "{\"ep\":\"" + endpoint + "\",\"n\":" + n + "}";
    return new Item(kind, endpoint, json.getBytes(StandardCharsets.UTF_8));
  }
}
