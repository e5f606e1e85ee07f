package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.List;
import org.eclipse.leshan.client.object.Security;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.request.ContentFormat;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a real device does, as the REST API and the webhooks show it. */
class DeviceFlowTest {

  private static final String EP = "urn:dev:a/b c'";
  private static final String URL = "/api/clients/urn:dev:a%2Fb%20c'";

  @TempDir Path folder;
  TestServer server;
  TestDevice device;

  @BeforeEach
  void start() throws Exception {
    server = new TestServer(folder);
    device = TestDevice.plain(EP, server.application.coapPort()).start();
    server.awaitRegistration(EP, 0);
  }

  @AfterEach
  void stop() {
    device.close();
    server.close();
  }

  @Test
  void registration_is_posted_with_what_the_device_told() throws Exception {
    JsonNode item = server.awaitRegistration(EP, 0);

    assertEquals(10240, item.path("obj_id").asInt());
    assertEquals("TIME", item.path("val").path("type").asText());
    assertEquals(item.path("ts").asLong(), item.path("val").path("value").asLong());
    assertEquals(300, item.path("reg").path("lifetime").asInt());
    assertEquals("U", item.path("reg").path("binding").asText());
    assertTrue(item.path("reg").path("address").asText().startsWith("127.0.0.1:"));
    assertFalse(item.path("reg").path("secure").asBoolean(true));
    assertTrue(item.path("reg").path("links").findValuesAsText("url").contains("/3303/0"));
    assertEquals("Bearer hook-token", server.webhooks.posts().get(0).authorization());
  }

  @Test
  void deregistration_is_posted_with_the_same_id() throws Exception {
    String id = server.awaitRegistration(EP, 0).path("reg").path("id").asText();
    device.client.stop(true);
    assertEquals(id, server.awaitRegistration(EP, 1).path("reg").path("id").asText());
  }

  @Test
  void update_is_posted() throws Exception {
    device.client.triggerRegistrationUpdate();
    server.awaitRegistration(EP, 2);
  }

  @Test
  void new_registration_of_a_known_device_first_ends_the_old_one() throws Exception {
    String id = server.awaitRegistration(EP, 0).path("reg").path("id").asText();
    device.vanish();
    device = TestDevice.plain(EP, server.application.coapPort()).start();
    JsonNode ended = server.awaitRegistration(EP, 1);
    assertEquals(id, ended.path("reg").path("id").asText());
  }

  @Test
  void registration_that_expires_is_ended() throws Exception {
    Security security = Security.noSec("coap://127.0.0.1:" + server.application.coapPort(), 1);
    TestDevice brief = new TestDevice("brief", security, 1, false).start();
    String id = server.awaitRegistration("brief", 0).path("reg").path("id").asText();
    brief.vanish();
    assertEquals(id, server.awaitRegistration("brief", 1).path("reg").path("id").asText());
  }

  @Test
  void clients_are_listed_as_by_the_demo() throws Exception {
    JsonNode client = server.json("GET", "/api/clients").get(0);
    assertEquals(EP, client.path("endpoint").asText());
    assertEquals("1.1", client.path("lwM2mVersion").asText());
    assertFalse(client.path("secure").asBoolean());
    assertEquals(client, server.json("GET", URL));
  }

  @Test
  void read_of_a_resource_an_instance_and_an_object() throws Exception {
    JsonNode resource = server.json("GET", URL + "/3303/0/5700");
    assertEquals("CONTENT(205)", resource.path("status").asText());
    assertTrue(resource.path("success").asBoolean());
    assertEquals(
        "{\"kind\":\"singleResource\",\"id\":5700,\"type\":\"FLOAT\",\"value\":\"24.9\"}",
        resource.path("content").toString());
    assertEquals("instance", server.json("GET", URL + "/3/0").at("/content/kind").asText());
    JsonNode object = server.json("GET", URL + "/3?format=SENML_JSON");
    assertEquals("obj", object.at("/content/kind").asText());
    JsonNode many = server.json("GET", URL + "/3/0/7");
    assertEquals("3800", many.at("/content/values/0").asText());
    assertEquals(
        "resourceInstance", server.json("GET", URL + "/3/0/7/1").at("/content/kind").asText());
  }

  @Test
  void write_and_read_back() throws Exception {
    String node =
        "{\"kind\":\"singleResource\",\"id\":15,\"type\":\"STRING\",\"value\":\"Asia/Tokyo\"}";
    JsonNode answer = server.put(URL + "/3/0/15", node);
    assertEquals("CHANGED(204)", answer.path("status").asText());
    assertEquals("Asia/Tokyo", device.device.zone);
    assertEquals(200, server.call("PUT", URL + "/3/0/15", "text/plain", "UTC").statusCode());
    assertEquals("UTC", device.device.zone);
  }

  @Test
  void error_of_the_device_is_http_200_without_success() throws Exception {
    JsonNode answer = server.json("POST", URL + "/3/0/5");
    assertEquals("INTERNAL_SERVER_ERROR(500)", answer.path("status").asText());
    assertFalse(answer.path("success").asBoolean());
    assertEquals("broken", answer.path("errormessage").asText());
  }

  @Test
  void execute_discover_attributes_and_composites() throws Exception {
    assertTrue(server.json("POST", URL + "/3/0/4").path("success").asBoolean());
    assertEquals(1, device.device.reboots);
    JsonNode links = server.json("GET", URL + "/3303/discover").path("objectLinks");
    assertTrue(links.findValuesAsText("url").contains("/3303/0/5700"));
    assertTrue(
        server
            .json("PUT", URL + "/3303/0/5700/attributes?pmin=0&pmax=60")
            .path("success")
            .asBoolean());
    JsonNode composite = server.json("GET", URL + "/composite?paths=/3/0/15,/3303/0");
    assertEquals("Europe/Berlin", composite.path("content").path("/3/0/15").path("value").asText());
    String body = "{\"/3/0/15\":{\"id\":15,\"type\":\"STRING\",\"value\":\"UTC\"}}";
    assertTrue(server.put(URL + "/composite", body).path("success").asBoolean());
    assertEquals("UTC", device.device.zone);
  }

  @Test
  void notification_of_a_resource_is_posted_as_single() throws Exception {
    JsonNode answer = server.json("POST", URL + "/3303/0/5700/observe");
    assertTrue(answer.path("success").asBoolean(), answer::toString);
    long before = System.currentTimeMillis();
    device.temperature.set(31.5);
    JsonNode item = server.webhooks.await("/single", i -> true);
    assertEquals(EP, item.path("ep").asText());
    assertEquals(3303, item.path("obj_id").asInt());
    assertEquals(0, item.path("inst_id").asInt(-1));
    assertEquals("31.5", item.path("val").path("value").asText());
    // Receipt tells times by the monotonic clock, 20 ms off the wall clock at most.
    long ts = item.path("ts").asLong();
    assertTrue(ts >= before - 20, () -> ts + " is before " + before);
    assertEquals(200, server.call("DELETE", URL + "/3303/0/5700/observe").statusCode());
  }

  @Test
  void notifications_of_an_instance_and_an_object_are_posted_as_composites() throws Exception {
    server.json("POST", URL + "/3303/0/observe");
    device.temperature.set(1.5);
    JsonNode instance = server.webhooks.await("/composite", i -> true);
    assertEquals("instance", instance.path("val").path("/3303/0").path("kind").asText());
    assertTrue(server.json("DELETE", URL + "/3303/0/observe?active").path("success").asBoolean());
    server.json("POST", URL + "/3303/observe");
    device.temperature.set(2.5);
    server.webhooks.await("/composite", i -> i.path("val").path("kind").asText().equals("obj"));
    assertEquals(404, server.call("DELETE", URL + "/3303/0/observe?active").statusCode());
  }

  @Test
  void notification_of_a_composite_observation_is_posted() throws Exception {
    JsonNode answer = server.json("POST", URL + "/composite/observe?paths=/3303/0/5700,/3/0/15");
    assertTrue(answer.path("success").asBoolean(), answer::toString);
    device.temperature.set(7.5);
    JsonNode item = server.webhooks.await("/composite", i -> true);
    assertEquals("7.5", item.path("val").path("/3303/0/5700").path("value").asText());
    assertTrue(
        server
            .json("DELETE", URL + "/composite/observe?active&paths=/3303/0/5700,/3/0/15")
            .path("success")
            .asBoolean());
  }

  @Test
  void send_is_posted_once_a_timestamp_in_order() throws Exception {
    List<LwM2mPath> paths = List.of(new LwM2mPath("/3303/0/5700"));
    device.temperature.set(1.0);
    device.sender.collectData(paths);
    Thread.sleep(20);
    device.temperature.set(2.0);
    device.sender.collectData(paths);
    device.sender.sendCollectedData(device.server(), ContentFormat.SENML_JSON, 5000, false);
    WebhookReceiver.await(() -> server.webhooks.items("/composite").size() == 2);
    List<JsonNode> items = server.webhooks.items("/composite");
    assertEquals("1.0", items.get(0).path("val").path("/3303/0/5700").path("value").asText());
    assertEquals("2.0", items.get(1).path("val").path("/3303/0/5700").path("value").asText());
    assertTrue(items.get(0).path("ts").asLong() < items.get(1).path("ts").asLong());
  }
}
