package io.flownexus.leshan.server.codec;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Instant;
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

class SenMlCborNumbersTest {
  private static final LwM2mPath PATH = new LwM2mPath("/3/0/9");
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
}
