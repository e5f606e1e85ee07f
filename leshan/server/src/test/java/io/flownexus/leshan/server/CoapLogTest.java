package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The log of a device's CoAP messages shows payloads, but no keys. */
class CoapLogTest extends RawDeviceFixture {

  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final int TEXT = 0;
  private static final int SENML_JSON = 110;
  private static final String KEY = "c0ffee00c0ffee00";
  private static final String BASE64 =
      Base64.getEncoder().encodeToString(HexFormat.of().parseHex(KEY));
  private static final String OPAQUE =
      "{\"kind\":\"singleResource\",\"id\":5,\"type\":\"OPAQUE\",\"value\":\"" + KEY + "\"}";

  private final List<String> lines = new CopyOnWriteArrayList<>();

  @BeforeEach
  void follow() throws Exception {
    register();
    server.json("POST", "/api/clients/raw/3303/0/5700/observe?format=TEXT");
    HttpResponse<Stream<String>> stream =
        server.http.send(server.request("/api/event?ep=raw").build(), BodyHandlers.ofLines());
    CompletableFuture.runAsync(() -> stream.body().forEach(lines::add));
  }

  @Test
  void payload_of_a_key_is_not_shown_whoever_sends_it() throws Exception {
    server.call("PUT", "/api/clients/raw/0/0/5?format=TEXT", "application/json", OPAQUE);
    await(each -> path(each).contains("\"0\", \"0\", \"5\"") && hides(each));
    device.answerWith(-1, TEXT, BASE64.getBytes(StandardCharsets.UTF_8));
    server.call("GET", "/api/clients/raw/21/0/3?format=TEXT");
    await(each -> each.path("code").asText().equals("2.05") && hides(each));
    device.send(2, SENML_JSON, "[{\"bn\":\"/0/0/\",\"n\":\"5\",\"vd\":\"" + BASE64 + "\"}]");
    answer(2);
    await(each -> path(each).contains("\"dp\"") && hides(each));
    String split = "[{\"bn\":\"/2\",\"n\":\"1/0/3\",\"vd\":\"" + BASE64 + "\"}]";
    device.answerWith(-1, SENML_JSON, split.getBytes(StandardCharsets.UTF_8));
    String formats = "&pathformat=SENML_JSON&nodeformat=SENML_JSON";
    server.call("GET", "/api/clients/raw/composite?paths=/3/0,/21/0" + formats);
    WebhookReceiver.await(() -> messages().stream().filter(CoapLogTest::hides).count() >= 5);
    String all = String.join("\n", lines);
    assertFalse(all.contains(BASE64), all);
    assertFalse(all.contains(KEY), all);
  }

  @Test
  void other_payloads_are_shown() throws Exception {
    device.notify(2, 2.5);
    answer(2);
    await(each -> shows(each, "2.5"));
    device.answerWith(-1, TEXT, "4.5".getBytes(StandardCharsets.UTF_8));
    server.json("GET", "/api/clients/raw/3303/0/5700?format=TEXT");
    await(each -> shows(each, "4.5"));
    device.send(3, 7.5);
    answer(3);
    await(each -> shows(each, "[{\"n\":\"/3303/0/5700\",\"v\":7.5}]"));
    assertEquals(0, messages().stream().filter(CoapLogTest::hides).count());
  }

  private void await(Predicate<JsonNode> wanted) throws InterruptedException {
    WebhookReceiver.await(() -> messages().stream().anyMatch(wanted));
  }

  private List<JsonNode> messages() {
    return lines.stream()
        .filter(line -> line.startsWith("data: ") && line.contains("\"mId\""))
        .map(line -> tree(line.substring("data: ".length())))
        .toList();
  }

  private static JsonNode tree(String json) {
    try {
      return MAPPER.readTree(json);
    } catch (IOException e) {
      throw new AssertionError(json, e);
    }
  }

  private static String path(JsonNode message) {
    return message.path("options").asText();
  }

  private static boolean hides(JsonNode message) {
    return message.path("payload").asText().contains("not shown");
  }

  private static boolean shows(JsonNode message, String payload) {
    return message.path("payload").asText().equals(payload);
  }
}
