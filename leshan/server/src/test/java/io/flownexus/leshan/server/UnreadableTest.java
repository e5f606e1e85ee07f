package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.Response;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What devices send that cannot be read, or not all of it, is posted with the reason. */
class UnreadableTest extends RawDeviceFixture {

  private static final int TEXT = 0;
  private static final int SENML_JSON = 110;
  private static final int SENML_CBOR = 112;
  private static final int TLV = 11542;
  private static final byte[] INSTANCE = utf8("[{\"n\":\"/3303/0/5700\",\"v\":1.5}]");

  @BeforeEach
  void start() throws Exception {
    register();
  }

  @Test
  void notification_is_acknowledged_and_posted_with_its_bytes_and_the_reason() throws Exception {
    server.json("POST", "/api/clients/raw/3303/0/5700/observe?format=TEXT");
    device.notify(2, 1, TEXT, utf8("warm"));
    assertEquals(Type.ACK, answer(2).getType());
    JsonNode item = failure("/3303/0/5700");
    assertEquals("raw", item.path("ep").asText());
    JsonNode failure = item.path("failure");
    assertEquals(
        "it cannot be read: Invalid value [warm] for float resource [/3303/0/5700]",
        failure.path("reason").asText());
    assertEquals(TEXT, failure.path("format").asInt(-1));
    assertEquals(HexFormat.of().formatHex(utf8("warm")), failure.path("payload").asText());
    assertEquals(4, failure.path("size").asInt());
    assertTrue(item.path("ts").asLong() > 0);
  }

  @Test
  void answer_to_a_request_is_told_with_the_reason() throws Exception {
    device.answerWith(0, TEXT, utf8("21,5"));
    JsonNode answer = server.json("GET", "/api/clients/raw/3303/0/5700?format=TEXT");
    assertEquals("unreadable", answer.path("code").asText(), answer.toString());
    assertEquals(
        "Invalid response: /3303/0/5700: Invalid value [21,5] for float resource [/3303/0/5700]",
        answer.path("message").asText());
  }

  @Test
  void long_payload_is_cut_and_its_size_told() throws Exception {
    server.json("POST", "/api/clients/raw/3303/0/5700/observe?format=TEXT");
    device.notify(2, 1, TEXT, utf8("x".repeat(1200)));
    assertEquals(Type.ACK, answer(2).getType());
    JsonNode failure = failure("/3303/0/5700").path("failure");
    assertEquals(2048, failure.path("payload").asText().length());
    assertEquals(1200, failure.path("size").asInt());
  }

  @Test
  void bad_records_of_senml_json_leave_the_good_ones() throws Exception {
    observeInstance();
    device.notify(
        2,
        1,
        SENML_JSON,
        utf8(
            "[{\"bn\":\"/3303/0/\",\"n\":\"5700\",\"v\":2.5},"
                + "{\"n\":\"5701\",\"vs\":\"\\ud800\"},"
                + "{\"n\":\"5601\",\"v\":3,\"t\":1e30},"
                + "{\"n\":\"5602\",\"v\":4,\"t\":1e999999999},"
                + "{\"n\":\"5603\",\"v\":\"four\"},"
                + "{\"n\":\"/3/0/9\",\"v\":5},"
                + "{\"n\":\"5604\",\"v\":6}]"));
    assertEquals(Type.ACK, answer(2).getType());
    JsonNode good = server.webhooks.await("/composite", item -> true).path("val");
    assertEquals("2.5", good.path("/3303/0/5700").path("value").asText());
    assertEquals("6.0", good.path("/3303/0/5604").path("value").asText());
    assertEquals(2, good.size());
    for (String path :
        List.of("/3303/0/5701", "/3303/0/5601", "/3303/0/5602", "/3303/0/5603", "/3303/0//3/0/9")) {
      assertEquals(SENML_JSON, failure(path).at("/failure/format").asInt());
    }
    assertEquals(1, server.webhooks.items("/composite").size());
  }

  @Test
  void bad_record_of_senml_cbor_leaves_the_good_ones() throws Exception {
    observeInstance();
    // [{-2: "/3303/0/", 0: "5700", 2: 35}, {0: "5601", 3: "x"}, {0: "5602", 2: 36}]
    device.notify(
        2,
        1,
        SENML_CBOR,
        HexFormat.of()
            .parseHex(
                "83a321682f333330332f302f006435373030021823"
                    + "a200643536303103"
                    + "6178"
                    + "a200643536303202"
                    + "1824"));
    assertEquals(Type.ACK, answer(2).getType());
    JsonNode good = server.webhooks.await("/composite", item -> true).path("val");
    assertEquals("35.0", good.path("/3303/0/5700").path("value").asText());
    assertEquals("36.0", good.path("/3303/0/5602").path("value").asText());
    assertEquals(SENML_CBOR, failure("/3303/0/5601").at("/failure/format").asInt());
  }

  @Test
  void bad_value_of_tlv_leaves_the_good_ones() throws Exception {
    observeInstance();
    device.notify(2, 1, TLV, HexFormat.of().parseHex("e4164441c70000" + "e315e1010203"));
    assertEquals(Type.ACK, answer(2).getType());
    JsonNode good = server.webhooks.await("/composite", item -> true).at("/val/~13303~10");
    assertEquals("24.875", good.at("/resources/0/value").asText());
    JsonNode failure = failure("/3303/0/5601").path("failure");
    assertEquals("010203", failure.path("payload").asText());
  }

  @Test
  void time_beyond_all_clocks_is_posted_as_the_farthest_there_is() throws Exception {
    server.json("POST", "/api/clients/raw/3303/0/5700/observe?format=TEXT");
    device.notify(
        2,
        1,
        SENML_JSON,
        utf8(
            "[{\"n\":\"/3303/0/5700\",\"v\":1,\"t\":2e16},"
                + "{\"n\":\"/3303/0/5700\",\"v\":2,\"t\":1700000000}]"));
    assertEquals(Type.ACK, answer(2).getType());
    WebhookReceiver.await(() -> server.webhooks.items("/single").size() == 2);
    List<JsonNode> items = server.webhooks.items("/single");
    assertEquals(1_700_000_000_000L, items.get(0).path("ts").asLong());
    assertEquals(Long.MAX_VALUE, items.get(1).path("ts").asLong());
  }

  @Test
  void send_of_which_some_can_be_read_is_taken() throws Exception {
    device.send(
        2,
        SENML_JSON,
        utf8("[{\"n\":\"/3303/0/5700\",\"v\":7.5},{\"n\":\"/3/0/9\",\"v\":\"high\"}]"));
    assertEquals(ResponseCode.CHANGED, ((Response) answer(2)).getCode());
    JsonNode good = server.webhooks.await("/composite", item -> true).path("val");
    assertEquals("7.5", good.path("/3303/0/5700").path("value").asText());
    assertEquals(1, good.size());
    failure("/3/0/9");
  }

  @Test
  void send_of_which_nothing_can_be_read_is_refused_and_posted() throws Exception {
    device.send(2, SENML_JSON, utf8("{"));
    assertEquals(ResponseCode.BAD_REQUEST, ((Response) answer(2)).getCode());
    JsonNode item = server.webhooks.await("/single", i -> i.has("failure"));
    assertEquals("7b", item.at("/failure/payload").asText());
  }

  @Test
  void whole_numbers_for_floats_of_a_send_are_taken() throws Exception {
    device.send(2, SENML_CBOR, HexFormat.of().parseHex("81a2006c2f333330332f302f35373030021823"));
    assertEquals(ResponseCode.CHANGED, ((Response) answer(2)).getCode());
    JsonNode good = server.webhooks.await("/composite", item -> true).path("val");
    assertEquals("35.0", good.path("/3303/0/5700").path("value").asText());
  }

  @Test
  void ten_a_minute_are_posted_and_the_others_counted() throws Exception {
    server.json("POST", "/api/clients/raw/3303/0/5700/observe?format=TEXT");
    for (int mid = 2; mid < 32; mid++) {
      device.notify(mid, mid, TEXT, utf8("warm"));
      assertEquals(Type.ACK, answer(mid).getType());
    }
    device.notify(40, 40, TEXT, utf8("4.5"));
    assertEquals(Type.ACK, answer(40).getType());
    server.webhooks.await("/single", item -> item.at("/val/value").asText().equals("4.5"));
    assertEquals(
        10, server.webhooks.items("/single").stream().filter(i -> i.has("failure")).count());
    assertEquals(20, server.metric("suppressed_failures_total"));
  }

  @Test
  void error_notification_ends_the_observation_and_is_posted() throws Exception {
    server.json("POST", "/api/clients/raw/3303/0/5700/observe?format=TEXT");
    device.endObservation(2);
    assertEquals(Type.ACK, answer(2).getType());
    assertEquals(
        "the device ended the observation: NOT_FOUND(404)",
        failure("/3303/0/5700").at("/failure/reason").asText());
    assertEquals(
        404, server.call("DELETE", "/api/clients/raw/3303/0/5700/observe?active").statusCode());
    device.notify(3, 1, TEXT, utf8("2.5"));
    assertEquals(Type.RST, answer(3).getType());
  }

  private void observeInstance() throws Exception {
    device.answerWith(0, SENML_JSON, INSTANCE);
    JsonNode answer = server.json("POST", "/api/clients/raw/3303/0/observe?format=SENML_JSON");
    assertTrue(answer.path("success").asBoolean(), answer::toString);
  }

  private JsonNode failure(String path) throws InterruptedException {
    return server.webhooks.await("/single", item -> item.at("/failure/path").asText().equals(path));
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
