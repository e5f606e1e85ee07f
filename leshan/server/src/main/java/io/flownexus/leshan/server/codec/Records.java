package io.flownexus.leshan.server.codec;

import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.upokecenter.cbor.CBORObject;
import com.upokecenter.cbor.CBORType;
import java.io.IOException;
import java.math.BigDecimal;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.eclipse.leshan.core.util.TimestampUtil;

/** Takes a payload of several records apart, each with its whole name and time. */
final class Records {

  /** A record as a payload of its own; the name is null where it has none. */
  record Part(String name, byte[] payload) {}

  // What is less counts from now (RFC 8428, 4.5.3).
  private static final BigDecimal ABSOLUTE = BigDecimal.valueOf(1L << 28);

  // In place of a time that is not taken: neither is this one.
  private static final BigDecimal REFUSED = BigDecimal.ONE.scaleByPowerOfTen(1000);

  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .enable(JsonWriteFeature.ESCAPE_NON_ASCII) // half a character can be written again
          .build();

  private final List<Part> parts = new ArrayList<>();
  private final BigDecimal now = TimestampUtil.fromInstant(Instant.now());
  private String baseName = "";
  private BigDecimal baseTime;

  private Records() {}

  /** Take SenML-JSON apart; empty where it is no array. */
  static List<Part> ofSenMlJson(byte[] content) throws IOException {
    JsonNode tree = MAPPER.readTree(content);
    Records records = new Records();
    if (tree.isArray()) {
      for (JsonNode record : tree) {
        records.add(record);
      }
    }
    return records.parts;
  }

  /** Take the JSON of LwM2M 1.0 apart (7.4.4: bn, bt, e); empty where it has no e. */
  static List<Part> ofJson(byte[] content) throws IOException {
    JsonNode tree = MAPPER.readTree(content);
    String base = tree.path("bn").asText("");
    List<Part> parts = new ArrayList<>();
    for (JsonNode record : tree.path("e")) {
      ObjectNode alone = MAPPER.createObjectNode();
      tree.properties().forEach(field -> alone.set(field.getKey(), field.getValue()));
      alone.putArray("e").add(record);
      parts.add(new Part(base + record.path("n").asText(""), MAPPER.writeValueAsBytes(alone)));
    }
    return parts;
  }

  /** Take SenML-CBOR apart; empty where it is no array. */
  static List<Part> ofSenMlCbor(byte[] content) {
    CBORObject pack = CBORObject.DecodeFromBytes(content);
    Records records = new Records();
    if (pack.getType() == CBORType.Array) {
      pack.getValues().forEach(records::add);
    }
    return records.parts;
  }

  private void add(JsonNode record) throws IOException {
    if (!(record instanceof ObjectNode object)) {
      parts.add(new Part(null, MAPPER.writeValueAsBytes(record)));
      return;
    }
    ObjectNode alone = object.deepCopy();
    JsonNode bn = alone.remove("bn");
    JsonNode bt = alone.remove("bt");
    if (bn != null && bn.isTextual()) {
      baseName = bn.asText();
    }
    if (bt != null && bt.isNumber()) {
      baseTime = bt.decimalValue();
    }
    String name = baseName + alone.path("n").asText("");
    alone.put("n", name);
    JsonNode t = alone.get("t");
    if (t == null || t.isNumber()) {
      BigDecimal time = time(t == null ? null : t.decimalValue());
      if (time != null) {
        alone.put("t", time);
      }
    }
    parts.add(new Part(name, MAPPER.writeValueAsBytes(MAPPER.createArrayNode().add(alone))));
  }

  private void add(CBORObject record) {
    if (record.getType() != CBORType.Map) {
      parts.add(new Part(null, record.EncodeToBytes()));
      return;
    }
    CBORObject alone = CBORObject.NewMap();
    record.getEntries().forEach(field -> alone.set(field.getKey(), field.getValue()));
    CBORObject bn = record.get(CBORObject.FromObject(-2));
    CBORObject bt = record.get(CBORObject.FromObject(-3));
    alone.Remove(CBORObject.FromObject(-2));
    alone.Remove(CBORObject.FromObject(-3));
    if (bn != null && bn.getType() == CBORType.TextString) {
      baseName = bn.AsString();
    }
    if (bt != null && bt.isNumber()) {
      baseTime = decimal(bt);
    }
    CBORObject n = record.get(CBORObject.FromObject(0));
    String name =
        n == null || n.getType() != CBORType.TextString ? baseName : baseName + n.AsString();
    alone.set(CBORObject.FromObject(0), CBORObject.FromObject(name));
    CBORObject t = record.get(CBORObject.FromObject(6));
    if (t == null || t.isNumber()) {
      BigDecimal time = time(t == null ? null : decimal(t));
      if (time != null) {
        alone.set(CBORObject.FromObject(6), CBORObject.FromObject(time));
      }
    }
    parts.add(new Part(name, CBORObject.NewArray().Add(alone).EncodeToBytes()));
  }

  private static BigDecimal decimal(CBORObject number) {
    try {
      return Numbers.decimal(number);
    } catch (IllegalArgumentException e) {
      return REFUSED;
    }
  }

  // Null where the record has no time. One that cannot be added to stays, to be refused.
  private BigDecimal time(BigDecimal own) {
    if (baseTime == null && own == null) {
      return null;
    }
    BigDecimal time = baseTime == null ? own : baseTime;
    try {
      if (baseTime != null && own != null) {
        time = Numbers.bounded(baseTime).add(Numbers.bounded(own));
      }
      return Numbers.bounded(time).compareTo(ABSOLUTE) < 0 ? now.add(time) : time;
    } catch (IllegalArgumentException e) {
      return own != null && !Numbers.isBounded(own) ? own : baseTime;
    }
  }
}
