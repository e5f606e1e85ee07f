package io.flownexus.leshan.server.spool;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.flownexus.leshan.server.Samples;
import io.flownexus.leshan.server.WebhookReceiver;
import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.StartupException;
import io.flownexus.leshan.server.webhook.Batch;
import io.flownexus.leshan.server.webhook.Item;
import io.flownexus.leshan.server.webhook.Lane;
import io.flownexus.leshan.server.webhook.MessageId;
import io.flownexus.leshan.server.webhook.SetAside;
import io.flownexus.leshan.server.webhook.WebhookKind;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.eclipse.californium.core.coap.Token;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is in the spool, and what of it a new life finds. */
class DiskSpoolTest {

  private static final int LANES = 2;
  private static final long BOUND = 1 << 20;
  private static final Lane LANE = Lane.of(WebhookKind.SINGLE, "ep", LANES);

  @TempDir Path folder;
  Metrics metrics;
  Journal journal;
  DiskSpool spool;

  @BeforeEach
  void open() {
    open(LANES);
  }

  void open(int lanes) {
    open(folder.resolve("spool.db"), lanes);
  }

  void open(Path file, int lanes) {
    metrics = new Metrics();
    journal = new Journal(file, metrics);
    try {
      spool = new DiskSpool(journal, lanes, BOUND, metrics);
    } catch (StartupException e) {
      journal.start();
      journal.close();
      throw e;
    }
    journal.start();
  }

  @AfterEach
  void close() {
    spool.close();
    journal.close();
  }

  void restart() {
    close();
    open();
  }

  @Test
  void items_come_back_in_order_under_the_same_source_and_numbers() throws Exception {
    append(0, 10);
    Batch before = spool.peek(LANE, 100, 1 << 20);
    spool.remove(LANE, 4);
    restart();
    assertEquals(6, spool.pending());
    assertTrue(spool.gave(LANE, before.source(), 10));
    Batch after = spool.peek(LANE, 100, 1 << 20);
    assertEquals(before.source(), after.source());
    assertEquals(5, after.firstSeq());
    assertEquals(List.of(4, 5, 6, 7, 8, 9), numbers(after));
    spool.remove(LANE, after.lastSeq());
    assertEquals(0, metric("spool_bytes"));
  }

  @Test
  void what_comes_after_a_start_is_numbered_from_1_under_a_new_source() throws Exception {
    append(0, 3);
    UUID source = spool.peek(LANE, 1, 1).source();
    spool.remove(LANE, 3);
    restart();
    assertNull(spool.peek(LANE, 1, 1));
    assertEquals(0, spool.pending());
    append(3, 1);
    Batch batch = spool.peek(LANE, 100, 1 << 20);
    assertEquals(1, batch.firstSeq());
    assertNotEquals(source, batch.source());
    assertTrue(spool.gave(LANE, batch.source(), 1));
    assertFalse(spool.gave(LANE, batch.source(), 2));
    spool.remove(LANE, 1);
    WebhookReceiver.await(() -> count("chunk") == 0);
  }

  @Test
  void waiting_appends_are_committed_together() throws Exception {
    List<CompletableFuture<Void>> stages = new ArrayList<>();
    for (int i = 0; i < 2000; i++) {
      stages.add(spool.append(List.of(item(i)), null).toCompletableFuture());
    }
    CompletableFuture.allOf(stages.toArray(new CompletableFuture<?>[0])).get(5, TimeUnit.SECONDS);
    assertEquals(2000, metric("spool_committed_items_total"));
    assertTrue(metric("spool_commits_total") <= 200, metrics::text);
    assertEquals(2000, spool.pending());
  }

  @Test
  void nothing_is_to_be_posted_before_it_is_committed() throws Exception {
    close();
    journal = new Journal(folder.resolve("spool.db"), metrics);
    spool = new DiskSpool(journal, LANES, BOUND, metrics);
    CompletableFuture<Void> safe = spool.append(List.of(item(1)), null).toCompletableFuture();
    Thread.sleep(50);
    assertFalse(safe.isDone());
    assertNull(spool.peek(LANE, 1, 1));
    journal.start();
    safe.get(5, TimeUnit.SECONDS);
    assertEquals(List.of(1), numbers(spool.peek(LANE, 1, 1)));
  }

  @Test
  void long_lane_is_read_from_disk_where_memory_ends() throws Exception {
    byte[] filler = new byte[10_000];
    Arrays.fill(filler, (byte) 'x');
    String text = new String(filler, StandardCharsets.US_ASCII);
    for (int i = 0; i < 600; i++) {
      byte[] json =
          ("{\"n\":" + i + ",\"x\":\"" + text + "\"}").getBytes(StandardCharsets.US_ASCII);
      spool
          .append(List.of(new Item(WebhookKind.SINGLE, "ep", json)), null)
          .toCompletableFuture()
          .get();
    }
    assertFalse(spool.accepting());
    List<Integer> read = new ArrayList<>();
    for (Batch batch; (batch = spool.peek(LANE, 50, 1 << 20)) != null; ) {
      assertEquals(read.size() + 1, batch.firstSeq());
      read.addAll(numbers(batch));
      spool.remove(LANE, batch.lastSeq());
    }
    assertEquals(IntStream.range(0, 600).boxed().toList(), read);
    append(600, 3);
    assertEquals(List.of(600, 601, 602), numbers(spool.peek(LANE, 50, 1 << 20)));
    spool.remove(LANE, 603);
    assertEquals(0, metric("spool_bytes"));
    assertTrue(spool.accepting());
  }

  @Test
  void item_set_aside_goes_to_its_table() throws Exception {
    append(0, 3);
    spool.setAside(LANE, "400 no");
    assertEquals(List.of(1, 2), numbers(spool.peek(LANE, 10, 1 << 20)));
    WebhookReceiver.await(() -> count("aside") == 1);
    restart();
    assertEquals(List.of(1, 2), numbers(spool.peek(LANE, 10, 1 << 20)));
    assertEquals(1, metric("spool_set_aside_items"));
    try (Connection connection = connect();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("SELECT reason, json FROM aside")) {
      assertTrue(row.next());
      assertEquals("400 no", row.getString(1));
      assertEquals("{\"ep\":\"ep\",\"n\":0}", row.getString(2));
    }
  }

  @Test
  void what_was_set_aside_comes_again_at_the_end_of_its_lane() throws Exception {
    append(0, 3);
    spool.setAside(LANE, "400 no");
    spool.setAside(LANE, "400 no");
    restart();
    assertEquals(List.of(1L, 2L), spool.setAside(10).stream().map(SetAside::seq).toList());
    assertEquals(1, spool.postSetAside(1).toCompletableFuture().get(5, TimeUnit.SECONDS));
    assertEquals(1, spool.setAside(10).size());
    assertEquals(1, spool.postSetAside(9).toCompletableFuture().get(5, TimeUnit.SECONDS));
    assertEquals(0, spool.postSetAside(9).toCompletableFuture().get(5, TimeUnit.SECONDS));
    assertEquals(0, metric("spool_set_aside_items"));
    assertEquals(3, spool.pending());
    restart();
    List<Integer> found = new ArrayList<>();
    for (Batch batch; (batch = spool.peek(LANE, 10, 1 << 20)) != null; ) {
      found.addAll(numbers(batch));
      spool.remove(LANE, batch.lastSeq());
    }
    assertEquals(List.of(2, 0, 1), found);
    assertEquals(0, metric("spool_bytes"));
    assertEquals(0, count("aside"));
  }

  @Test
  void renewed_source_is_kept() throws Exception {
    append(0, 2);
    UUID before = spool.peek(LANE, 1, 1).source();
    spool.renewSource(LANE);
    UUID renewed = spool.peek(LANE, 1, 1).source();
    assertNotEquals(before, renewed);
    restart();
    assertEquals(renewed, spool.peek(LANE, 1, 1).source());
  }

  @Test
  void older_copy_of_the_file_loses_nothing_that_comes_after_it() throws Exception {
    Functions functions = new Functions();
    append(0, 3);
    spool.remove(LANE, functions.store(spool.peek(LANE, 10, 1 << 20)).size());
    close();
    Path copy = Files.copy(folder.resolve("spool.db"), folder.resolve("copy.db"));
    open();
    append(3, 100);
    assertEquals(100, functions.store(spool.peek(LANE, 1000, 1 << 20)).size());
    close();
    Files.move(copy, folder.resolve("spool.db"), StandardCopyOption.REPLACE_EXISTING);
    open();
    append(103, 280);
    assertEquals(280, functions.store(spool.peek(LANE, 1000, 1 << 20)).size());
  }

  @Test
  void older_copy_gives_what_it_holds_the_numbers_that_it_had() throws Exception {
    Functions functions = new Functions();
    append(0, 5);
    close();
    Path copy = Files.copy(folder.resolve("spool.db"), folder.resolve("copy.db"));
    open();
    assertEquals(5, functions.store(spool.peek(LANE, 10, 1 << 20)).size());
    close();
    Files.move(copy, folder.resolve("spool.db"), StandardCopyOption.REPLACE_EXISTING);
    open();
    append(5, 2);
    Batch again = spool.peek(LANE, 10, 1 << 20);
    assertEquals(0, functions.store(again).size());
    spool.remove(LANE, again.lastSeq());
    assertEquals(2, functions.store(spool.peek(LANE, 10, 1 << 20)).size());
  }

  @Test
  void message_is_known_in_the_next_life_only() throws Exception {
    MessageId message = message(4711);
    spool.append(List.of(item(1)), message).toCompletableFuture().get(5, TimeUnit.SECONDS);
    assertFalse(spool.knows(message));
    restart();
    assertTrue(spool.knows(message));
    assertFalse(spool.knows(message(4712)));
    assertEquals(1, metric("duplicate_messages_total"));
  }

  @Test
  void spool_is_not_opened_twice() {
    StartupException refused =
        assertThrows(
            StartupException.class, () -> new Journal(folder.resolve("spool.db"), new Metrics()));
    assertTrue(refused.getMessage().contains("another server has it open"), refused::getMessage);
  }

  @Test
  void other_number_of_lanes_is_refused_while_items_wait() throws Exception {
    append(0, 1);
    close();
    StartupException refused = assertThrows(StartupException.class, () -> open(3));
    assertTrue(refused.getMessage().contains("--lanes 2"), refused::getMessage);
    open();
    spool.remove(LANE, spool.peek(LANE, 1, 1).lastSeq());
    close();
    open(3);
    assertEquals(0, spool.pending());
    restart();
  }

  @Test
  void broken_transaction_refuses_what_can_come_again_and_keeps_the_rest() throws Exception {
    append(0, 1);
    execute("ALTER TABLE chunk RENAME TO gone");
    CompletableFuture<Void> refused =
        spool.append(List.of(item(1)), message(1)).toCompletableFuture();
    CompletableFuture<Void> kept = spool.append(List.of(item(2)), null).toCompletableFuture();
    assertThrows(Exception.class, () -> refused.get(5, TimeUnit.SECONDS));
    assertFalse(spool.accepting());
    assertFalse(kept.isDone());
    execute("ALTER TABLE gone RENAME TO chunk");
    kept.get(5, TimeUnit.SECONDS);
    WebhookReceiver.await(spool::accepting);
    Batch batch = spool.peek(LANE, 10, 1 << 20);
    assertEquals(List.of(0, 2), numbers(batch));
    assertEquals(1, batch.firstSeq());
    restart();
    assertEquals(List.of(0, 2), numbers(spool.peek(LANE, 10, 1 << 20)));
  }

  @Test
  void lanes_made_anew_hold_nothing_of_the_old_ones() throws Exception {
    append(0, 2);
    spool.remove(LANE, 2);
    close();
    execute(
        "INSERT INTO chunk SELECT 7, id, 1, 2, 0, 90, '{\"n\":0}\n{\"n\":1}\n' FROM lane LIMIT 1");
    open(3);
    assertEquals(0, metric("spool_bytes"));
    assertEquals(0, count("chunk"));
    restart();
  }

  @Test
  void file_of_before_lanes_had_a_source_a_start_is_taken_over() throws Exception {
    append(0, 5);
    spool.remove(LANE, 2);
    close();
    UUID source = UUID.randomUUID();
    execute("ALTER TABLE lane ADD COLUMN source TEXT");
    execute("UPDATE lane SET source = '" + source + "'");
    execute("DROP TABLE numbering");
    open();
    append(5, 1);
    Batch batch = spool.peek(LANE, 10, 1 << 20);
    assertEquals(source, batch.source());
    assertEquals(3, batch.firstSeq());
    assertEquals(List.of(2, 3, 4), numbers(batch));
    spool.remove(LANE, batch.lastSeq());
    restart();
    Batch later = spool.peek(LANE, 10, 1 << 20);
    assertNotEquals(source, later.source());
    assertEquals(1, later.firstSeq());
    assertEquals(List.of(5), numbers(later));
  }

  @Test
  void file_of_before_there_were_versions_is_taken_over() throws Exception {
    append(0, 3);
    close();
    execute("PRAGMA user_version = 0");
    open();
    assertEquals(List.of(0, 1, 2), numbers(spool.peek(LANE, 10, 1 << 20)));
    assertEquals(1, version());
  }

  @Test
  void file_of_a_newer_version_is_refused_by_its_name() throws Exception {
    close();
    execute("PRAGMA user_version = 2");
    StartupException refused =
        assertThrows(
            StartupException.class, () -> new Journal(folder.resolve("spool.db"), metrics));
    assertTrue(refused.getMessage().contains(folder.resolve("spool.db").toString()));
    assertTrue(refused.getMessage().contains("of version 2"), refused::getMessage);
    execute("PRAGMA user_version = 1");
    open(folder.resolve("another.db"), LANES);
  }

  private int version() throws Exception {
    try (Connection connection =
            DriverManager.getConnection("jdbc:sqlite:" + folder.resolve("spool.db"));
        ResultSet row = connection.createStatement().executeQuery("PRAGMA user_version")) {
      return row.getInt(1);
    }
  }

  @Test
  void files_are_their_owners_alone() throws Exception {
    append(0, 1);
    close();
    Path file = folder.resolve("spool.db");
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r--r--"));
    open();
    append(1, 1);
    for (String ending : List.of("", "-wal", "-shm", ".lock")) {
      Path path = folder.resolve("spool.db" + ending);
      assertEquals("rw-------", permissions(path), path::toString);
    }
    Path made = folder.resolve("made").resolve("here");
    new Journal(made.resolve("spool.db"), new Metrics());
    assertEquals("rwx------", permissions(made));
    assertEquals("rwx------", permissions(made.getParent()));
    assertEquals("rw-------", permissions(made.resolve("spool.db")));
  }

  private static String permissions(Path path) throws IOException {
    return PosixFilePermissions.toString(Files.getPosixFilePermissions(path));
  }

  @Test
  void source_is_the_same_in_all_lanes_of_a_new_spool() throws Exception {
    append(0, 1);
    String other = other();
    spool
        .append(List.of(new Item(WebhookKind.SINGLE, other, item(1).json())), null)
        .toCompletableFuture()
        .get();
    Batch one = spool.peek(LANE, 1, 1);
    Batch two = spool.peek(Lane.of(WebhookKind.SINGLE, other, LANES), 1, 1);
    assertEquals(one.source(), two.source());
    assertArrayEquals(item(0).json(), one.items().get(0));
  }

  private void append(int first, int count) throws Exception {
    for (int i = first; i < first + count; i++) {
      spool.append(List.of(item(i)), null).toCompletableFuture().get(5, TimeUnit.SECONDS);
    }
  }

  /** Return an endpoint of another lane. */
  private static String other() {
    int i = 0;
    while (Lane.of(WebhookKind.SINGLE, "ep" + i, LANES).equals(LANE)) {
      i++;
    }
    return "ep" + i;
  }

  private static Item item(int n) {
    String json = "{\"ep\":\"ep\",\"n\":" + n + "}";
    return new Item(WebhookKind.SINGLE, "ep", json.getBytes(StandardCharsets.UTF_8));
  }

  private static MessageId message(int mid) {
    return new MessageId(
        new InetSocketAddress("127.0.0.1", 40000), mid, new Token(new byte[] {1, 2, 3, 4}));
  }

  private static List<Integer> numbers(Batch batch) {
    return batch.items().stream()
        .map(json -> new String(json, StandardCharsets.UTF_8).replaceAll("\\D*(\\d+).*", "$1"))
        .map(Integer::valueOf)
        .toList();
  }

  private long metric(String name) {
    return Samples.of(metrics.text(), name);
  }

  private long count(String table) {
    try (Connection connection = connect();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("SELECT count(*) FROM " + table)) {
      row.next();
      return row.getLong(1);
    } catch (SQLException e) {
      throw new AssertionError(e);
    }
  }

  private void execute(String sql) throws SQLException {
    try (Connection connection = connect();
        Statement statement = connection.createStatement()) {
      statement.execute("PRAGMA busy_timeout = 5000");
      statement.execute(sql);
    }
  }

  private Connection connect() throws SQLException {
    return DriverManager.getConnection("jdbc:sqlite:" + folder.resolve("spool.db"));
  }
}
