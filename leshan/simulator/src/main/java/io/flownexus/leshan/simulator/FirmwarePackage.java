package io.flownexus.leshan.simulator;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;

/**
 * Reads a firmware package: lines of key=value, an empty line, the image.
 *
 * <p>Keys: name, version, sha256 (of the image), result (what its install ends with, to simulate
 * failures). All are optional: a package without them has the start of its hash as version.
 *
 * @param intact whether the image has the hash it claims
 */
record FirmwarePackage(String name, String version, boolean intact, int installResult) {
  private static final int HEADER_BYTES = 1024;

  static FirmwarePackage parse(byte[] bytes) {
    Map<String, String> header = new HashMap<>();
    int body = header(bytes, header);
    String hash = sha256(Arrays.copyOfRange(bytes, body, bytes.length));
    return new FirmwarePackage(
        header.getOrDefault("name", "firmware"),
        header.getOrDefault("version", "sha-" + hash.substring(0, 8)),
        header.getOrDefault("sha256", hash).equalsIgnoreCase(hash),
        Integer.parseInt(header.getOrDefault("result", "1")));
  }

  /** Fill in the header's lines and return where the image begins; 0 when there is no header. */
  private static int header(byte[] bytes, Map<String, String> header) {
    String start =
        new String(bytes, 0, Math.min(bytes.length, HEADER_BYTES), StandardCharsets.ISO_8859_1);
    int end = start.indexOf("\n\n");
    String lines = end < 0 ? start.stripTrailing() : start.substring(0, end);
    if (end < 0 && bytes.length > HEADER_BYTES
        || !lines.matches("(name|version|sha256|result)=[^\\n]*(\\n[a-z0-9]+=[^\\n]*)*")) {
      return 0;
    }
    for (String line : lines.split("\n")) {
      int equals = line.indexOf('=');
      header.put(line.substring(0, equals), line.substring(equals + 1).strip());
    }
    return end < 0 ? bytes.length : end + 2;
  }

  private static String sha256(byte[] bytes) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }
}
