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

/**
 * Security entries in the JSON of Leshan's demo server; modes psk, rpk, x509, denied.
 *
 * <p>Beyond the demo's: {@code tls} may be an array, of which any will do, {@code until} says when
 * one is over, and {@code sha256} names the only certificate that counts.
 */
public final class SecurityJson {

  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final HexFormat HEX = HexFormat.of();
  private static final String REFUSED = "refused";

  private SecurityJson() {}

  /** Read one entry; any fault is an IllegalArgumentException that holds no secret. */
  public static SecurityEntry read(byte[] json) {
    return read(parse(json), false);
  }

  /** Read a part of a database of credentials. */
  public static Change readChange(byte[] json) {
    JsonNode tree = parse(json);
    JsonNode expected = tree.path("expected");
    List<SecurityEntry> entries = new ArrayList<>();
    tree.path("entries").forEach(entry -> entries.add(read(entry, true)));
    return new Change(
        expected.path("source").asText(),
        expected.path("revision").asLong(),
        new Carried(
            text(tree, "source"),
            tree.path("revision").asLong(),
            text(tree, "unenrolled").equals(REFUSED)),
        tree.path("begins").asBoolean(),
        tree.path("completes").asBoolean(),
        entries);
  }

  /** Write how far a database has been carried. */
  public static byte[] write(Carried carried) {
    return Json.bytes(out -> writeCarried(out, carried));
  }

  /** Read what {@link #writeFile} has written. */
  static Entries readFile(byte[] json) {
    JsonNode tree = parse(json);
    JsonNode array = tree.isArray() ? tree : tree.path("entries");
    if (!array.isArray()) {
      throw new IllegalArgumentException("an array of security entries is expected");
    }
    Entries entries = new Entries();
    for (JsonNode entry : array) {
      entries.set(read(entry, entry.path("carried").asBoolean()));
    }
    JsonNode carried = tree.path("carried");
    if (carried.isObject()) {
      entries.carried =
          new Carried(
              carried.path("source").asText(),
              carried.path("revision").asLong(),
              text(carried, "unenrolled").equals(REFUSED));
    }
    return entries;
  }

  /** Write a store's content, keys and all: an array, or an object once a database is carried. */
  static byte[] writeFile(Entries entries) {
    Carried carried = entries.lasting();
    if (carried.equals(Carried.NOTHING)) {
      return write(entries.byEndpoint.values(), true);
    }
    return Json.bytes(
        out -> {
          out.writeStartObject();
          out.writeFieldName("carried");
          writeCarried(out, carried);
          out.writeFieldName("entries");
          write(out, entries.byEndpoint.values(), true);
          out.writeEndObject();
        });
  }

  /** Write entries as an array, with their keys or without. */
  public static byte[] write(Collection<SecurityEntry> entries, boolean secrets) {
    return Json.bytes(out -> write(out, entries, secrets));
  }

  private static void writeCarried(JsonGenerator out, Carried carried) throws IOException {
    out.writeStartObject();
    out.writeStringField("source", carried.source());
    out.writeNumberField("revision", carried.revision());
    out.writeStringField("unenrolled", carried.refusesUnenrolled() ? REFUSED : "admitted");
    out.writeEndObject();
  }

  private static void write(JsonGenerator out, Collection<SecurityEntry> entries, boolean secrets)
      throws IOException {
    out.writeStartArray();
    for (SecurityEntry entry : entries) {
      write(out, entry, secrets);
    }
    out.writeEndArray();
  }

  private static void write(JsonGenerator out, SecurityEntry entry, boolean secrets)
      throws IOException {
    out.writeStartObject();
    out.writeStringField("endpoint", entry.endpoint());
    out.writeFieldName("tls");
    if (entry.isDenied()) {
      out.writeStartObject();
      out.writeStringField("mode", "denied");
      out.writeEndObject();
    } else if (entry.credentials().size() == 1) {
      write(out, entry.credentials().get(0), secrets);
    } else {
      out.writeStartArray();
      for (Credential credential : entry.credentials()) {
        write(out, credential, secrets);
      }
      out.writeEndArray();
    }
    if (entry.carried()) {
      out.writeBooleanField("carried", true);
    }
    out.writeEndObject();
  }

  private static void write(JsonGenerator out, Credential credential, boolean secrets)
      throws IOException {
    SecurityInfo info = credential.info();
    out.writeStartObject();
    if (info.usePSK()) {
      out.writeStringField("mode", "psk");
      out.writeObjectFieldStart("details");
      out.writeStringField("identity", info.getPskIdentity());
      if (secrets) {
        out.writeStringField("key", HEX.formatHex(info.getPreSharedKey()));
      }
      out.writeEndObject();
    } else if (info.useRPK()) {
      out.writeStringField("mode", "rpk");
      out.writeObjectFieldStart("details");
      out.writeStringField("key", HEX.formatHex(info.getRawPublicKey().getEncoded()));
      out.writeEndObject();
    } else {
      out.writeStringField("mode", "x509");
      if (credential.certificate() != null) {
        out.writeObjectFieldStart("details");
        out.writeStringField("sha256", credential.certificate());
        out.writeEndObject();
      }
    }
    if (credential.until() != Credential.FOR_EVER) {
      out.writeNumberField("until", credential.until());
    }
    out.writeEndObject();
  }

  private static SecurityEntry read(JsonNode json, boolean carried) {
    String endpoint = text(json, "endpoint");
    JsonNode tls = json.path("tls");
    List<Credential> credentials = new ArrayList<>();
    if (tls.isArray()) {
      tls.forEach(each -> credentials.add(credential(endpoint, each)));
    } else if (!text(tls, "mode").equals("denied")) {
      credentials.add(credential(endpoint, tls));
    }
    return new SecurityEntry(endpoint, List.copyOf(credentials), carried);
  }

  private static Credential credential(String endpoint, JsonNode tls) {
    JsonNode details = tls.path("details");
    SecurityInfo info = credentials(endpoint, text(tls, "mode"), details);
    String certificate =
        info.useX509Cert() && details.has("sha256") ? HEX.formatHex(hex(details, "sha256")) : null;
    JsonNode until = tls.path("until");
    if (!until.isMissingNode() && !until.isIntegralNumber()) {
      throw new IllegalArgumentException("until is a number of seconds since 1970");
    }
    return new Credential(info, certificate, until.asLong(Credential.FOR_EVER));
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
