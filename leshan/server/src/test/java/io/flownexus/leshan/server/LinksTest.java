package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.flownexus.leshan.server.codec.Links;
import io.flownexus.leshan.server.security.PlainCoap;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.leshan.core.link.lwm2m.LwM2mLink;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Links as devices write them: quoted versions, and objects below another root. */
class LinksTest {

  private static final String PARAMETERS = "ep=raw&lt=300&lwm2m=1.1&b=U";

  @TempDir Path folder;
  TestServer server;
  RawDevice device;

  @BeforeEach
  void start() throws Exception {
    open();
  }

  @AfterEach
  void stop() {
    device.close();
    server.close();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "</>;rt=\"oma.lwm2m\",</1/0>,</3/0>,</3303>;ver=\"1.1\",</3303/0>",
        "</>;rt=\"oma.lwm2m\",</1/0>,</3/0>,</3303>;ver=1.1,</3303/0>",
        "</1/0>,</3303>;ver=\"1.1\",</3303/0>"
      })
  void version_of_an_object_may_be_quoted(String links) throws Exception {
    assertEquals(ResponseCode.CREATED, register(1, PARAMETERS, links));
    JsonNode link =
        findLink(server.awaitRegistration("raw", 0).at("/reg/links"), "/3303").path("attributes");
    assertEquals("1.1", link.path("ver").asText());

    restart();
    assertEquals(
        "1.1",
        findLink(server.json("GET", "/api/clients/raw").path("objectLinks"), "/3303")
            .at("/attributes/ver")
            .asText());
  }

  @Test
  void device_of_version_1_0_that_quotes_all_it_can_registers() throws Exception {
    assertEquals(
        ResponseCode.CREATED,
        register(
            1,
            "ep=raw&lt=300&lwm2m=1.0&b=U",
            "</>;rt=\"oma.lwm2m\";ct=\"11543\",</3>;ver=\"1.0\""));
  }

  @Test
  void discovered_version_may_be_quoted() throws Exception {
    byte[] links = "</3303>;ver=\"1.1\"".getBytes(StandardCharsets.US_ASCII);
    LwM2mLink[] read = Links.parser().parseLwM2mLinkFromCoreLinkFormat(links, "/");
    assertEquals("1.1", read[0].getAttributes().get("ver").getCoreLinkValue());
  }

  @ParameterizedTest
  @ValueSource(strings = {"/lwm2m", "/a/b"})
  void objects_below_another_root_are_told_without_it(String root) throws Exception {
    String links =
        "<%1$s>;rt=\"oma.lwm2m\";ct=\"0 110\",<%1$s/1/0>,<%1$s/3/0>,<%1$s/3303/0>,</5/0>"
            .formatted(root);
    assertEquals(ResponseCode.CREATED, register(1, PARAMETERS, links));
    assertEquals(List.of("/", "/1/0", "/3/0", "/3303/0"), toldLinks(0));
    device.update(2, server.json("GET", "/api/clients/raw").path("registrationId").asText());
    assertEquals(ResponseCode.CHANGED, ((Response) device.answer(2, 5000)).getCode());
    assertEquals(List.of("/", "/1/0", "/3/0", "/3303/0"), toldLinks(2));

    restart();
    JsonNode client = server.json("GET", "/api/clients/raw");
    assertEquals(root + "/", client.path("rootPath").asText());
    assertTrue(client.path("availableInstances").has("3303"));
  }

  @Test
  void device_below_another_root_is_read_written_and_observed_there() throws Exception {
    String links = "</lwm2m>;rt=\"oma.lwm2m\";ct=\"0 110\",</lwm2m/1/0>,</lwm2m/3303/0>";
    assertEquals(ResponseCode.CREATED, register(1, PARAMETERS, links));
    String resource = "/api/clients/raw/3303/0/5700";
    assertEquals(
        "1.5", server.json("GET", resource + "?format=TEXT").at("/content/value").asText());
    assertTrue(
        server
            .put(
                "/api/clients/raw/3303/0/5701",
                "{\"id\":5701,\"kind\":\"singleResource\",\"type\":\"STRING\",\"value\":\"K\"}")
            .path("success")
            .asBoolean());
    assertTrue(server.json("POST", resource + "/observe?format=TEXT").path("success").asBoolean());
    assertEquals(
        List.of("GET lwm2m/3303/0/5700", "PUT lwm2m/3303/0/5701", "GET lwm2m/3303/0/5700"),
        device.requests);

    device.notify(10, 7.5);
    JsonNode item =
        server.webhooks.await("/single", value -> value.at("/val/value").asText().equals("7.5"));
    assertEquals(3303, item.path("obj_id").asInt());
    assertEquals(5700, item.at("/val/id").asInt());

    device.send(11, 110, "[{\"bn\":\"/lwm2m/3303/0/\",\"n\":\"5700\",\"v\":8.5}]");
    assertEquals(ResponseCode.CHANGED, ((Response) device.answer(11, 5000)).getCode());
    JsonNode sent = server.webhooks.await("/composite", value -> true);
    assertEquals("8.5", sent.path("val").path("/3303/0/5700").path("value").asText());
  }

  private void open() throws Exception {
    server = new TestServer(folder, PlainCoap.ANY, folder.resolve("spool.db"));
    device = new RawDevice("raw", server.application.coapPort());
  }

  private void restart() throws Exception {
    stop();
    open();
  }

  private ResponseCode register(int mid, String parameters, String links) throws Exception {
    device.register(mid, parameters, links);
    return ((Response) device.answer(mid, 5000)).getCode();
  }

  private List<String> toldLinks(int event) throws Exception {
    return server
        .awaitRegistration("raw", event)
        .at("/reg/links")
        .valueStream()
        .map(link -> link.path("url").asText())
        .toList();
  }

  private static JsonNode findLink(JsonNode links, String url) {
    return links
        .valueStream()
        .filter(link -> link.path("url").asText().equals(url))
        .findFirst()
        .orElseThrow();
  }
}
