package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ch.qos.logback.classic.Level;
import java.util.List;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.Response;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Requests that make no sense: the device learns what would be right, the operator that it came.
 */
class RefusedRequestTest extends RawDeviceFixture {

  private static final String PLAIN = "lt=300&lwm2m=1.1&b=U";
  private static final int TLV = 11542;

  CapturedLog log;

  @BeforeEach
  void start() {
    log = new CapturedLog(Level.WARN);
  }

  @AfterEach
  void stop() {
    log.close();
  }

  @ParameterizedTest
  @CsvSource({
    "ep=raw&lt=300&lwm2m=1.1&b=TCP, 'b is made of the letters U, T, S, N, and Q of version 1.0'",
    "ep=raw&lt=300&lwm2m=1.1&b, 'b is made of the letters U, T, S, N, and Q of version 1.0'",
    "ep=raw&lt=abc&lwm2m=1.1&b=U, 'lt is a whole number of seconds from 0, for ever, to 2147483647'",
    "ep=raw&lt=&lwm2m=1.1&b=U, 'lt is a whole number of seconds from 0, for ever, to 2147483647'",
    "ep=raw&lt&lwm2m=1.1&b=U, 'lt is a whole number of seconds from 0, for ever, to 2147483647'",
    "ep=raw&lt=-1&lwm2m=1.1&b=U, 'lt is a whole number of seconds from 0, for ever, to 2147483647'",
    "ep=raw&lt=4294967296&lwm2m=1.1, 'lt is a whole number of seconds from 0, for ever, to 2147483647'",
    "ep=&lt=300&lwm2m=1.1&b=U, an endpoint name is not empty",
    "ep&lt=300&lwm2m=1.1&b=U, an endpoint name is not empty",
    "ep=..&lt=300&lwm2m=1.1&b=U, '''..'' is no endpoint name: no URL can end with it'",
    "ep=raw&lt=300&lwm2m=1.1&b=U&sms, sms is a telephone number",
    "ep=raw&lt=300&lwm2m=1.1&b=U&Q=1, Q has no value",
  })
  void registration_is_answered_with_what_would_be_right(String parameters, String reason)
      throws Exception {
    device.register(1, parameters);
    refused(1, "register", ResponseCode.BAD_REQUEST, reason);
    assertEquals(0, server.json("GET", "/api/clients").size());
  }

  @Test
  void name_with_control_characters_is_refused() throws Exception {
    device.register(1, "ep=a\0b\n&" + PLAIN);
    refused(1, "register", ResponseCode.BAD_REQUEST, "an endpoint name has no control characters");
    assertTrue(
        log.lines().stream().anyMatch(line -> line.contains("register of 'a?b?' by 127.0.0.1:")));
  }

  @Test
  void links_that_cannot_be_read_leave_a_trace() throws Exception {
    device.register(1, "ep=raw&" + PLAIN, "no links");
    Response answer = (Response) device.answer(1, 5000);
    assertEquals(ResponseCode.BAD_REQUEST, answer.getCode());
    told("register", "4.00", "'raw' by 127.0.0.1:");
  }

  @Test
  void update_is_answered_with_what_would_be_right() throws Exception {
    String id = register("ep=raw&" + PLAIN);
    device.update(2, id, "lt=abc");
    refused(
        2,
        "update",
        ResponseCode.BAD_REQUEST,
        "lt is a whole number of seconds from 0, for ever, to 2147483647");
    device.update(3, "nobody", "lt=300");
    assertEquals(ResponseCode.NOT_FOUND, ((Response) device.answer(3, 5000)).getCode());
    told("update", "4.04", "/rd/nobody by 127.0.0.1:");
  }

  @Test
  void send_of_another_format_is_answered_with_those_that_are_taken() throws Exception {
    register("ep=raw&" + PLAIN);
    device.send(2, TLV, "x");
    refused(
        2,
        "send",
        ResponseCode.UNSUPPORTED_CONTENT_FORMAT,
        "a Send has content format 110 (SenML-JSON) or 112 (SenML-CBOR)");
  }

  @Test
  void send_of_nobody_leaves_a_trace() throws Exception {
    device.send(2, 1.5);
    refused(2, "send", ResponseCode.BAD_REQUEST, "no registration found");
  }

  @Test
  void many_refusals_of_one_kind_are_counted_all_and_logged_up_to_a_bound() throws Exception {
    for (int mid = 0; mid < 100; mid++) {
      device.register(mid, "ep=..&" + PLAIN);
      device.answer(mid, 5000);
    }
    long lines = log.lines().stream().filter(line -> line.contains("register of '..'")).count();
    assertTrue(lines >= 20 && lines < 60, "lines: " + lines);
    assertEquals(100, server.metric("refused_requests_total{code=\"4.00\",request=\"register\"}"));
  }

  @Test
  void lifetime_of_zero_is_for_ever() throws Exception {
    String id = register("ep=raw&lt=0&lwm2m=1.1&b=U");
    assertEquals(Integer.MAX_VALUE, lifetime());
    device.update(2, id, "lt=60");
    assertEquals(ResponseCode.CHANGED, ((Response) device.answer(2, 5000)).getCode());
    assertEquals(60, lifetime());
    device.update(3, id, "lt=0");
    assertEquals(ResponseCode.CHANGED, ((Response) device.answer(3, 5000)).getCode());
    assertEquals(Integer.MAX_VALUE, lifetime());
    assertEquals(
        Integer.MAX_VALUE, server.awaitRegistration("raw", 0).at("/reg/lifetime").asLong());
    Thread.sleep(4000); // it was gone after two
    assertEquals(1, server.json("GET", "/api/clients").size());
  }

  @Test
  void name_that_no_device_can_have_gets_no_credentials() throws Exception {
    String entry = "{\"endpoint\":\"..\",\"tls\":{\"mode\":\"x509\"}}";
    var answer = server.call("PUT", "/api/security/clients", "application/json", entry);
    assertEquals(400, answer.statusCode());
    assertTrue(answer.body().contains("'..' is no endpoint name"), answer.body());
  }

  private long lifetime() throws Exception {
    return server.json("GET", "/api/clients/raw").path("lifetime").asLong();
  }

  private String register(String parameters) throws Exception {
    device.register(1, parameters);
    Response answer = (Response) device.answer(1, 5000);
    assertEquals(ResponseCode.CREATED, answer.getCode());
    return answer.getOptions().getLocationPathString().split("/")[1];
  }

  private void refused(int mid, String what, ResponseCode code, String reason) throws Exception {
    Response answer = (Response) device.answer(mid, 5000);
    assertEquals(code + " " + reason, answer.getCode() + " " + answer.getPayloadString());
    told(what, code.toString(), reason);
  }

  private void told(String what, String code, String part) throws Exception {
    List<String> lines = log.lines().stream().filter(line -> line.contains(what + " of ")).toList();
    assertEquals(
        1, lines.stream().filter(line -> line.contains(part)).count(), log.lines()::toString);
    assertTrue(
        log.lines().stream().noneMatch(line -> line.startsWith("ERROR ")), log.lines()::toString);
    assertEquals(
        1,
        server.metric("refused_requests_total{code=\"%s\",request=\"%s\"}".formatted(code, what)));
  }
}
