package io.flownexus.leshan.server.codec;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.time.Instant;
import java.util.HexFormat;
import java.util.Set;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.model.ObjectLoader;
import org.eclipse.leshan.core.model.StaticModel;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.node.TimestampedLwM2mNodes;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mEncoder;
import org.eclipse.leshan.core.request.ContentFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SenMlCborNumbersTest {
  private static final LwM2mPath PATH = new LwM2mPath("/3/0/9");
  private static final LwM2mPath SENSOR = new LwM2mPath("/3303/0/5700"); // without a model
  private final LwM2mModel model = new StaticModel(ObjectLoader.loadDefault());

  @Test
  void a_timestamp_of_any_millisecond_is_read() {
    for (int millis = 0; millis < 1000; millis++) {
      Instant time = Instant.ofEpochMilli(1_795_353_396_000L + millis);
      TimestampedLwM2mNodes sent =
          TimestampedLwM2mNodes.builder()
              .put(time, PATH, LwM2mSingleResource.newIntegerResource(9, 95))
              .build();
      byte[] payload =
          new DefaultLwM2mEncoder()
              .encodeTimestampedNodes(sent, ContentFormat.SENML_CBOR, null, model);
      TimestampedLwM2mNodes read =
          Codecs.decoder(unreadable -> false)
              .decodeTimestampedNodes(payload, ContentFormat.SENML_CBOR, null, null, model);
      assertEquals(Set.of(time), read.getTimestamps());
      assertEquals(sent.getNodesAt(time), read.getNodesAt(time));
    }
  }

  @ParameterizedTest
  @CsvSource({
    // a bigfloat: 2 to the power of 2^63 - 1
    "c5821b7fffffffffffffff01, v",
    "c5821b7fffffffffffffff01, t",
    "c5821b7fffffffffffffff01, bt",
    "c5823b7fffffffffffffff01, v",
    "d81e820103, v", // a third
    "c4821b7fffffffffffffff01, v",
    "c4821b7fffffffffffffff01, bt",
  })
  void a_number_that_fills_the_memory_is_refused_at_once(String number, String field) {
    String value =
        switch (field) {
          case "v" -> "a2006c2f333330332f302f3537303002" + number;
          case "t" -> "a3006c2f333330332f302f35373030020106" + number;
          default -> "a3006c2f333330332f302f35373030020122" + number;
        };
    refused(ContentFormat.SENML_CBOR, SENSOR, HexFormat.of().parseHex("81" + value));
    if (field.equals("v")) {
      refused(ContentFormat.CBOR, SENSOR, HexFormat.of().parseHex(number));
      refused(ContentFormat.CBOR, PATH, HexFormat.of().parseHex(number));
    }
  }

  @Test
  void a_number_of_many_digits_is_refused_in_few_words() {
    String digits = "c259ea60" + "ff".repeat(60_000);
    String reason = refused(ContentFormat.CBOR, PATH, HexFormat.of().parseHex(digits));
    assertTrue(reason.length() < 200, reason);
    String record = "81a2006c2f333330332f302f3537303002" + digits;
    reason = refused(ContentFormat.SENML_CBOR, SENSOR, HexFormat.of().parseHex(record));
    assertTrue(reason.length() < 200, reason);
  }

  private String refused(ContentFormat format, LwM2mPath path, byte[] payload) {
    return assertTimeoutPreemptively(
            Duration.ofSeconds(10),
            () ->
                assertThrows(
                    UnreadableException.class,
                    () ->
                        Codecs.decoder(unreadable -> false)
                            .decodeTimestampedData(payload, format, null, path, model)))
        .getMessage();
  }
}
