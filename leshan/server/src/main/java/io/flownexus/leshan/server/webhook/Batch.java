package io.flownexus.leshan.server.webhook;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.UUID;

/** The oldest items of a lane, numbered without a gap from firstSeq on. */
public record Batch(UUID source, Lane lane, long firstSeq, List<byte[]> items) {

  /** Return the number of the last item. */
  public long lastSeq() {
    return firstSeq + items.size() - 1;
  }

  /** Return the id of its posts, which repetitions have too: it says where the batch begins. */
  public String correlationId() {
    return "%s-%s-%d-%d".formatted(source, lane.kind().label(), lane.number(), firstSeq);
  }

  /** Return the envelope as it is posted. */
  public byte[] envelope() {
    byte[] head =
        "{\"source\":\"%s\",\"lane\":%d,\"first_seq\":%d,\"items\":["
            .formatted(source, lane.number(), firstSeq)
            .getBytes(StandardCharsets.US_ASCII);
    int size = head.length + 2;
    for (byte[] item : items) {
      size += item.length + 1;
    }
    ByteArrayOutputStream out = new ByteArrayOutputStream(size);
    out.writeBytes(head);
    for (int i = 0; i < items.size(); i++) {
      if (i > 0) {
        out.write(',');
      }
      out.writeBytes(items.get(i));
    }
    out.write(']');
    out.write('}');
    return out.toByteArray();
  }
}
