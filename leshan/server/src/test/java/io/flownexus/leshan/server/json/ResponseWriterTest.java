package io.flownexus.leshan.server.json;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.TimestampedLwM2mNode;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ReadCompositeResponse;
import org.eclipse.leshan.core.response.ReadResponse;
import org.junit.jupiter.api.Test;

/** The JSON of a device's answer. */
class ResponseWriterTest {

  private static final long RECEIVED = 1_795_354_047_382L;
  private static final Instant OWN = Instant.ofEpochMilli(1_795_354_000_500L);
  private static final LwM2mSingleResource VALUE = LwM2mSingleResource.newFloatResource(5700, 21.5);

  @Test
  void values_have_the_time_that_the_device_says() throws IOException {
    JsonNode read = written(ReadResponse.success(new TimestampedLwM2mNode(OWN, VALUE)));
    assertEquals(OWN.toEpochMilli(), read.path("timestamp").asLong());
    assertEquals(RECEIVED, read.path("time").asLong());
    assertEquals("21.5", read.path("content").path("value").asText());
    Map<LwM2mPath, LwM2mNode> nodes = Map.of(new LwM2mPath(3303, 0, 5700), VALUE);
    TimestampedLwM2mNodes.Builder timed = TimestampedLwM2mNodes.builder();
    timed.addNodes(OWN, nodes);
    JsonNode composite = written(ReadCompositeResponse.success(timed.build()));
    assertEquals(OWN.toEpochMilli(), composite.path("timestamp").asLong());
  }

  @Test
  void time_that_the_device_does_not_say_or_that_no_clock_has_is_left_out() throws IOException {
    assertFalse(written(ReadResponse.success(VALUE)).has("timestamp"));
    assertFalse(
        written(ReadResponse.success(new TimestampedLwM2mNode(null, VALUE))).has("timestamp"));
    assertFalse(
        written(ReadResponse.success(new TimestampedLwM2mNode(Instant.MAX, VALUE)))
            .has("timestamp"));
  }

  private static JsonNode written(LwM2mResponse response) throws IOException {
    return new ObjectMapper()
        .readTree(Json.bytes(out -> ResponseWriter.write(out, response, RECEIVED, List.of())));
  }
}
