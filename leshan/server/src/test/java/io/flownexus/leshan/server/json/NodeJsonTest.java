package io.flownexus.leshan.server.json;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.request.exception.InvalidRequestException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The JSON of nodes, there and back. */
class NodeJsonTest {

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"kind\":\"singleResource\",\"id\":1,\"type\":\"STRING\",\"value\":\"a \\\"b\\\" \\u0001 é\\uD83D\\uDE00\"}",
        "{\"kind\":\"singleResource\",\"id\":2,\"type\":\"INTEGER\",\"value\":\"-9223372036854775808\"}",
        "{\"kind\":\"singleResource\",\"id\":3,\"type\":\"UNSIGNED_INTEGER\",\"value\":\"18446744073709551615\"}",
        "{\"kind\":\"singleResource\",\"id\":4,\"type\":\"FLOAT\",\"value\":\"24.9\"}",
        "{\"kind\":\"singleResource\",\"id\":5,\"type\":\"BOOLEAN\",\"value\":true}",
        "{\"kind\":\"singleResource\",\"id\":6,\"type\":\"TIME\",\"value\":1795344335807}",
        "{\"kind\":\"singleResource\",\"id\":7,\"type\":\"OPAQUE\",\"value\":\"00ff10\"}",
        "{\"kind\":\"singleResource\",\"id\":8,\"type\":\"OBJLNK\",\"value\":{\"objectId\":3303,\"objectInstanceId\":1}}",
        "{\"kind\":\"singleResource\",\"id\":9,\"type\":\"CORELINK\",\"value\":\"</3>;ver=1.1,</5>\"}",
        "{\"kind\":\"resourceInstance\",\"id\":2,\"type\":\"FLOAT\",\"value\":\"1.0E-7\"}",
        "{\"kind\":\"multiResource\",\"id\":7,\"type\":\"INTEGER\",\"values\":{\"0\":\"1\",\"65534\":\"2\"}}",
        "{\"kind\":\"instance\",\"id\":0,\"resources\":[{\"kind\":\"singleResource\",\"id\":1,"
            + "\"type\":\"STRING\",\"value\":\"\"}]}",
        "{\"kind\":\"obj\",\"id\":3,\"instances\":[{\"kind\":\"instance\",\"id\":0,\"resources\":[]}]}",
      })
  void node_is_written_as_it_was_read(String json) {
    byte[] text = json.getBytes(StandardCharsets.UTF_8);
    byte[] written = Json.bytes(out -> NodeWriter.write(out, NodeReader.read(text)));
    String compact = new String(written, StandardCharsets.UTF_8);
    assertEquals(json, compact);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "null",
        "[]",
        "{\"id\":1}",
        "{\"type\":\"STRING\",\"value\":\"no id\"}",
        "{\"id\":\"1\",\"type\":\"STRING\",\"value\":\"a\"}",
        "{\"id\":70000,\"type\":\"STRING\",\"value\":\"a\"}",
        "{\"id\":1,\"type\":\"NOTHING\",\"value\":\"a\"}",
        "{\"id\":1,\"type\":\"INTEGER\",\"value\":\"1.5\"}",
        "{\"id\":1,\"type\":\"INTEGER\",\"value\":1e3}",
        "{\"id\":1,\"type\":\"FLOAT\",\"value\":\"NaN\"}",
        "{\"id\":1,\"type\":\"FLOAT\",\"value\":true}",
        "{\"id\":1,\"type\":\"UNSIGNED_INTEGER\",\"value\":\"18446744073709551616\"}",
        "{\"id\":1,\"type\":\"OPAQUE\",\"value\":\"xyz\"}",
        "{\"id\":1,\"type\":\"TIME\",\"value\":\"2026\"}",
        "{\"id\":1,\"type\":\"OBJLNK\",\"value\":{\"objectId\":1}}",
        "{\"id\":1,\"type\":\"OBJLNK\",\"value\":{\"objectId\":70000,\"objectInstanceId\":0}}",
        "{\"id\":1,\"type\":\"INTEGER\",\"values\":{\"a\":\"1\"}}",
        "{\"id\":1,\"instances\":[{\"id\":1,\"type\":\"STRING\",\"value\":\"not an instance\"}]}",
      })
  void fault_is_an_invalid_request(String json) {
    byte[] text = json.getBytes(StandardCharsets.UTF_8);
    assertThrows(InvalidRequestException.class, () -> NodeReader.read(text));
  }

  @Test
  void numbers_are_tolerated_where_text_is_meant() {
    byte[] text = "{\"id\":1,\"type\":\"INTEGER\",\"value\":5}".getBytes(StandardCharsets.UTF_8);
    assertEquals(LwM2mSingleResource.newIntegerResource(1, 5), NodeReader.read(text));
  }

  @Test
  void path_without_a_node_is_left_out() {
    Map<LwM2mPath, LwM2mSingleResource> nodes = new LinkedHashMap<>();
    nodes.put(new LwM2mPath("/3/0/1"), LwM2mSingleResource.newStringResource(1, "a"));
    nodes.put(new LwM2mPath("/3/0/99"), null);
    byte[] json = Json.bytes(out -> NodeWriter.write(out, nodes));
    assertEquals(
        Map.of(new LwM2mPath("/3/0/1"), LwM2mSingleResource.newStringResource(1, "a")),
        NodeReader.readByPath(json),
        () -> Arrays.toString(json));
  }
}
