package io.flownexus.leshan.server.webhook;

import io.flownexus.leshan.server.json.Json;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.UUID;

/** The oldest items of a lane, numbered without a gap from firstSeq on. */
public record Batch(UUID source, Lane lane, long firstSeq, List<byte[]> items) {

  /** Return the number of the last item. */
  public long lastSeq() {
    return firstSeq + items.size() - 1;
  }

  /** Return the envelope as it is posted. */
  public byte[] envelope() {
    return Json.bytes(
        out -> {
          out.writeStartObject();
          out.writeStringField("source", source.toString());
          out.writeNumberField("lane", lane.number());
          out.writeNumberField("first_seq", firstSeq);
          out.writeArrayFieldStart("items");
          for (byte[] item : items) {
            out.writeRawValue(new String(item, StandardCharsets.UTF_8));
          }
          out.writeEndArray();
          out.writeEndObject();
        });
  }
}
