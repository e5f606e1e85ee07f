package io.flownexus.leshan.server.webhook;

import static io.flownexus.leshan.server.webhook.RefusalItems.MOST_AT_ONCE;
import static io.flownexus.leshan.server.webhook.RefusalItems.MOST_IDENTITIES_AT_ONCE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.flownexus.leshan.server.WebhookReceiver;
import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.security.RefusalCause;
import io.flownexus.leshan.server.spool.DiskSpool;
import io.flownexus.leshan.server.spool.Journal;
import java.net.InetAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which refusals are told apart, and of how many at once. */
class RefusalItemsTest {

  private static final InetAddress ADDRESS = InetAddress.getLoopbackAddress();

  @TempDir Path folder;
  private Journal journal;
  private DiskSpool spool;
  private RefusalItems refusals;

  @BeforeEach
  void start() {
    Metrics metrics = new Metrics();
    journal = new Journal(folder.resolve("spool.db"), metrics);
    spool = new DiskSpool(journal, 1, 1 << 20, metrics);
    journal.start();
    refusals = new RefusalItems(spool);
  }

  @AfterEach
  void stop() {
    refusals.close();
    spool.close();
    journal.close();
  }

  @Test
  void unknown_identities_of_one_address_are_told_apart() throws Exception {
    for (String identity : List.of("a", "b", "a")) {
      refusals.refused(null, ADDRESS, RefusalCause.UNKNOWN_IDENTITY, identity);
    }
    List<JsonNode> told = told();
    assertEquals(List.of("a", "b"), told.stream().map(item -> detail(item)).toList());
    assertEquals(2, told.get(0).at("/refusal/count").asInt());
  }

  @Test
  void made_up_identities_leave_room_for_other_refusals() throws Exception {
    for (int number = 0; number < 1000; number++) {
      refusals.refused(null, ADDRESS, RefusalCause.UNKNOWN_IDENTITY, "x" + number);
    }
    refusals.refused("dev", ADDRESS, RefusalCause.WRONG_KEY, null);
    List<JsonNode> told = told();
    assertEquals(MOST_IDENTITIES_AT_ONCE + 2, told.size());
    JsonNode others = told.get(MOST_IDENTITIES_AT_ONCE);
    assertEquals(1000 - MOST_IDENTITIES_AT_ONCE, others.at("/refusal/count").asInt());
    assertEquals(ADDRESS.getHostAddress(), others.at("/refusal/address").asText());
    assertTrue(others.at("/refusal/detail").isMissingNode());
    assertEquals("dev", told.get(MOST_IDENTITIES_AT_ONCE + 1).path("ep").asText());
  }

  @Test
  void made_up_names_are_counted_by_cause_alone_from_some_number_on() throws Exception {
    for (int number = 0; number < 1000; number++) {
      refusals.refused("x" + number, ADDRESS, RefusalCause.UNSUPPORTED_VERSION, "lwm2m=1.2");
    }
    List<JsonNode> told = told();
    assertEquals(MOST_AT_ONCE + 1, told.size());
    JsonNode others = told.get(MOST_AT_ONCE);
    assertEquals("", others.path("ep").asText() + others.at("/refusal/address").asText());
    assertEquals(1000 - MOST_AT_ONCE, others.at("/refusal/count").asInt());
  }

  private static String detail(JsonNode item) {
    return item.at("/refusal/detail").asText();
  }

  private List<JsonNode> told() throws Exception {
    refusals.flush();
    Lane lane = new Lane(WebhookKind.REGISTRATION, 0);
    WebhookReceiver.await(() -> spool.peek(lane, 1, 1) != null);
    List<JsonNode> told = new ArrayList<>();
    for (byte[] json : spool.peek(lane, 1000, 1 << 20).items()) {
      told.add(new ObjectMapper().readTree(json));
    }
    return told;
  }
}
