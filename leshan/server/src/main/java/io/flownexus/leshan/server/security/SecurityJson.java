package io.flownexus.leshan.server.security;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.flownexus.leshan.server.json.Json;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import org.eclipse.leshan.core.security.util.SecurityUtil;
import org.eclipse.leshan.servers.security.SecurityInfo;

/** Security entries in the JSON of Leshan's demo server; modes psk, rpk, x509, denied. */
public final class SecurityJson {

  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final HexFormat HEX = HexFormat.of();

  private SecurityJson() {}

  /** Read one entry; any fault is an IllegalArgumentException that holds no secret. */
  public static SecurityEntry read(byte[] json) {
    return read(parse(json));
  }

  /** Read an array of entries. */
  public static List<SecurityEntry> readAll(byte[] json) {
    JsonNode tree = parse(json);
    if (!tree.isArray()) {
      throw new IllegalArgumentException("an array of security entries is expected");
    }
    List<SecurityEntry> entries = new ArrayList<>();
    tree.forEach(entry -> entries.add(read(entry)));
    return entries;
  }

  /** Write entries as an array, with all that {@link #readAll} needs. */
  public static byte[] write(Collection<SecurityEntry> entries) {
    return write(entries, true);
  }

  /** Write entries as an array, without their secret keys. */
  public static byte[] writeOpen(Collection<SecurityEntry> entries) {
    return write(entries, false);
  }

  private static byte[] write(Collection<SecurityEntry> entries, boolean secrets) {
    return Json.bytes(
        out -> {
          out.writeStartArray();
          for (SecurityEntry entry : entries) {
            write(out, entry, secrets);
          }
          out.writeEndArray();
        });
  }

  private static void write(JsonGenerator out, SecurityEntry entry, boolean secrets)
      throws IOException {
    out.writeStartObject();
    out.writeStringField("endpoint", entry.endpoint());
    out.writeObjectFieldStart("tls");
    writeMode(out, entry.credentials(), secrets);
    out.writeEndObject();
    out.writeEndObject();
  }

  private static void writeMode(JsonGenerator out, SecurityInfo entry, boolean secrets)
      throws IOException {
    if (entry == null) {
      out.writeStringField("mode", "denied");
    } else if (entry.usePSK()) {
      out.writeStringField("mode", "psk");
      out.writeObjectFieldStart("details");
      out.writeStringField("identity", entry.getPskIdentity());
      if (secrets) {
        out.writeStringField("key", HEX.formatHex(entry.getPreSharedKey()));
      }
      out.writeEndObject();
    } else if (entry.useRPK()) {
      out.writeStringField("mode", "rpk");
      out.writeObjectFieldStart("details");
      out.writeStringField("key", HEX.formatHex(entry.getRawPublicKey().getEncoded()));
      out.writeEndObject();
    } else {
      out.writeStringField("mode", "x509");
    }
  }

  private static SecurityEntry read(JsonNode json) {
    String endpoint = text(json, "endpoint");
    JsonNode tls = json.path("tls");
    String mode = text(tls, "mode");
    return mode.equals("denied")
        ? SecurityEntry.denied(endpoint)
        : SecurityEntry.of(credentials(endpoint, mode, tls.path("details")));
  }

  private static SecurityInfo credentials(String endpoint, String mode, JsonNode details) {
    return switch (mode) {
      case "psk" ->
          SecurityInfo.newPreSharedKeyInfo(
              endpoint, text(details, "identity"), hex(details, "key"));
      case "rpk" -> rawPublicKey(endpoint, hex(details, "key"));
      case "x509" -> SecurityInfo.newX509CertInfo(endpoint);
      default -> throw new IllegalArgumentException("mode is psk, rpk, x509 or denied");
    };
  }

  private static SecurityInfo rawPublicKey(String endpoint, byte[] key) {
    try {
      return SecurityInfo.newRawPublicKeyInfo(endpoint, SecurityUtil.publicKey.decode(key));
    } catch (GeneralSecurityException | IOException e) {
      throw new IllegalArgumentException("key is no public key");
    }
  }

  private static JsonNode parse(byte[] json) {
    try {
      return MAPPER.readTree(json);
    } catch (JsonProcessingException e) { // its message could quote a key
      throw new IllegalArgumentException("not JSON, line " + e.getLocation().getLineNr());
    } catch (IOException e) {
      throw new IllegalArgumentException("not JSON");
    }
  }

  private static String text(JsonNode json, String field) {
    JsonNode value = json.path(field);
    if (!value.isTextual() || value.textValue().isEmpty()) {
      throw new IllegalArgumentException(field + " is missing or no text");
    }
    return value.textValue();
  }

  private static byte[] hex(JsonNode json, String field) {
    try {
      return HEX.parseHex(text(json, field));
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(field + " is missing or no hex text");
    }
  }
}
