package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.coap.option.BlockOption;
import org.eclipse.californium.core.coap.option.StandardOptionRegistry;
import org.junit.jupiter.api.Test;

/** Requests in several blocks (RFC 7959), of devices and of unregistered peers. */
class BlockwiseTest extends RawDeviceFixture {

  private static final int LINKS = 40;
  private static final int SENML_JSON = 110;
  private static final int SIZE = 1024;

  private int mid;

  @Test
  void registration_in_many_blocks_registers_and_a_large_send_is_stored() throws Exception {
    String links =
        IntStream.range(0, 3000).mapToObj("</3303/%d>"::formatted).collect(Collectors.joining(","));
    String registration = "/rd?ep=raw&lt=300&lwm2m=1.1&b=U";
    assertEquals(
        ResponseCode.CREATED, post(registration, LINKS, "</>;rt=\"oma.lwm2m\"," + links).getCode());
    assertEquals(3001, server.json("GET", "/api/clients/raw").path("objectLinks").size());

    String records =
        IntStream.range(0, 9000)
            .mapToObj(i -> "{\"n\":\"/3303/%d/%d\",\"v\":1.5}".formatted(i % 3000, 5600 + i / 3000))
            .collect(Collectors.joining(","));
    assertEquals(ResponseCode.CHANGED, post("/dp", SENML_JSON, "[" + records + "]").getCode());
    assertEquals(
        9000,
        server.webhooks.await("/composite", item -> true).path("val").size(),
        "values of a Send of 270 KB");
  }

  @Test
  void block_that_comes_again_is_answered_as_before_and_taken_once() throws Exception {
    device.register(100);
    assertNotNull(device.answer(100, PATIENCE));
    byte[] body = "[{\"n\":\"/3303/0/5700\",\"v\":1.5}]".getBytes(StandardCharsets.UTF_8);
    for (int repeat = 0; repeat < 2; repeat++) {
      device.block(101, "/dp", SENML_JSON, block(0, true, 0), Arrays.copyOf(body, 16));
      assertEquals(ResponseCode.CONTINUE, code(101));
    }
    for (int repeat = 0; repeat < 2; repeat++) {
      byte[] rest = Arrays.copyOfRange(body, 16, body.length);
      device.block(102, "/dp", SENML_JSON, block(0, false, 1), rest);
      assertEquals(ResponseCode.CHANGED, code(102));
    }
    assertEquals(
        "1.5", server.webhooks.await("/composite", item -> true).findValue("value").asText());
    assertEquals(1, server.webhooks.items("/composite").size());
  }

  @Test
  void block_that_follows_nothing_is_refused() throws Exception {
    device.block(1, "/rd?ep=raw", LINKS, block(0, true, 1), new byte[16]);
    assertEquals(ResponseCode.REQUEST_ENTITY_INCOMPLETE, code(1));
    device.block(2, "/rd?ep=raw", LINKS, block(0, true, 0), new byte[16]);
    assertEquals(ResponseCode.CONTINUE, code(2));
    device.block(3, "/rd?ep=raw", LINKS, block(0, true, 2), new byte[16]);
    assertEquals(ResponseCode.REQUEST_ENTITY_INCOMPLETE, code(3));
  }

  @Test
  void stranger_may_send_what_a_registration_takes_and_no_more() throws Exception {
    Response response = post("/rd?ep=raw&lt=300&lwm2m=1.1&b=U", LINKS, " ".repeat(70_000));
    assertEquals(ResponseCode.REQUEST_ENTITY_TOO_LARGE, response.getCode());
    assertEquals(65_536, response.getOptions().getSize1());
    assertEquals(64, mid - 1, "blocks taken");
  }

  /** Send all blocks of a body until one is answered otherwise than 2.31. */
  private Response post(String path, int format, String text) throws Exception {
    byte[] body = text.getBytes(StandardCharsets.UTF_8);
    for (int at = 0, number = 0; ; at += SIZE, number++) {
      byte[] part = Arrays.copyOfRange(body, at, Math.min(body.length, at + SIZE));
      device.block(++mid, path, format, block(6, at + SIZE < body.length, number), part);
      Response response = (Response) device.answer(mid, PATIENCE);
      assertNotNull(response);
      if (response.getCode() != ResponseCode.CONTINUE) {
        return response;
      }
    }
  }

  private ResponseCode code(int of) throws InterruptedException {
    Response response = (Response) device.answer(of, PATIENCE);
    assertNotNull(response);
    return response.getCode();
  }

  private static BlockOption block(int exponent, boolean more, int number) {
    return StandardOptionRegistry.BLOCK1.create(exponent, more, number);
  }
}
