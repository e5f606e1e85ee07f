package io.flownexus.leshan.server.base;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.List;

/**
 * The bearer tokens of one file: the first word of each line, all valid, the first one is used for
 * sending. What follows a token says to others whom it stands for.
 */
public final class Tokens {

  private final List<byte[]> tokens;

  private Tokens(List<byte[]> tokens) {
    this.tokens = tokens;
  }

  /** Read tokens from a file, or refuse to start. */
  public static Tokens read(Path file) {
    try {
      List<byte[]> tokens =
          Files.readAllLines(file, StandardCharsets.UTF_8).stream()
              .map(String::strip)
              .filter(line -> !line.isEmpty())
              .map(line -> line.split("\\s+", 2)[0])
              .map(token -> token.getBytes(StandardCharsets.UTF_8))
              .toList();
      if (tokens.isEmpty()) {
        throw new StartupException("the token file " + file + " is empty");
      }
      return new Tokens(tokens);
    } catch (IOException e) {
      throw new StartupException("cannot read the token file " + file + " (" + e + ")", e);
    }
  }

  /** Return the Authorization header to send. */
  public String header() {
    return "Bearer " + new String(tokens.get(0), StandardCharsets.UTF_8);
  }

  /** Return whether an Authorization header holds one of the tokens, in constant time a token. */
  public boolean accept(String header) {
    if (header == null || !header.regionMatches(true, 0, "Bearer ", 0, 7)) {
      return false;
    }
    byte[] given = header.substring(7).strip().getBytes(StandardCharsets.UTF_8);
    boolean known = false;
    for (byte[] token : tokens) {
      known |= MessageDigest.isEqual(token, given);
    }
    return known;
  }
}
