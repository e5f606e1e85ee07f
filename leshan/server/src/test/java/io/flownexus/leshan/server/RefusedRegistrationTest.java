package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.leshan.client.object.Security;
import org.junit.jupiter.api.Test;

/** A device that is not let in is told to people, with the cause and how often it was. */
class RefusedRegistrationTest extends RawDeviceFixture {

  @Test
  void version_that_is_not_supported() throws Exception {
    for (int mid = 1; mid <= 3; mid++) {
      device.register(mid, "ep=raw&lt=300&lwm2m=1.2&b=U");
      assertEquals(ResponseCode.PRECONDITION_FAILED, ((Response) answer(mid)).getCode());
    }
    JsonNode item = refusal("unsupported-version");
    assertEquals("raw", item.path("ep").asText());
    assertEquals(3, item.at("/refusal/count").asInt());
    assertEquals("127.0.0.1", item.at("/refusal/address").asText());
  }

  @Test
  void registration_that_is_not_valid_says_what_would_be_right() throws Exception {
    device.register(1, "ep=raw&lt=soon&lwm2m=1.1&b=U");
    answer(1);
    JsonNode item = refusal("malformed-registration");
    assertTrue(item.at("/refusal/detail").asText().startsWith("lt is a whole number of seconds"));
  }

  @Test
  void name_of_a_device_that_has_credentials() throws Exception {
    allow("raw");
    device.register(1);
    assertEquals(ResponseCode.FORBIDDEN, ((Response) answer(1)).getCode());
    assertEquals("raw", refusal("wrong-credentials").path("ep").asText());
  }

  @Test
  void name_that_is_another_device_s() throws Exception {
    allow("mine");
    allow("another");
    String uri = "coaps://127.0.0.1:" + server.application.coapsPort();
    Security security = Security.psk(uri, 1, "mine".getBytes(), new byte[] {1, 2, 3, 4});
    TestDevice thief = new TestDevice("another", security, 300, false).start();
    try {
      assertEquals("another", refusal("wrong-credentials").path("ep").asText());
    } finally {
      thief.vanish();
    }
  }

  @Test
  void flood_of_made_up_names_is_few_items() throws Exception {
    for (int mid = 1; mid <= 500; mid++) {
      device.register(mid, "ep=raw" + mid + "&lt=300&lwm2m=1.2&b=U");
      if (mid % 50 == 0) {
        answer(mid); // so many fit the buffer of Leshan's socket; what does not fit, UDP loses
      }
    }
    refusal("unsupported-version");
    WebhookReceiver.await(() -> counted() == 500);
    assertTrue(server.webhooks.items("/registration").size() <= 102);
  }

  private long counted() {
    return server.webhooks.items("/registration").stream()
        .mapToLong(item -> item.at("/refusal/count").asLong())
        .sum();
  }

  private JsonNode refusal(String cause) throws Exception {
    return server.webhooks.await(
        "/registration", item -> item.at("/refusal/cause").asText().equals(cause));
  }

  private void allow(String endpoint) throws Exception {
    server.put(
        "/api/security/clients",
        ("{\"endpoint\":\"%1$s\",\"tls\":{\"mode\":\"psk\",\"details\":"
                + "{\"identity\":\"%1$s\",\"key\":\"01020304\"}}}")
            .formatted(endpoint));
  }
}
