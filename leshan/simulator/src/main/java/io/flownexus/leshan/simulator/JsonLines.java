package io.flownexus.leshan.simulator;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Appends JSON objects to a file, a line each, buffered; a null path keeps nothing. */
final class JsonLines implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(JsonLines.class);
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Path path;
  private BufferedWriter out;

  JsonLines(Path path) throws IOException {
    this.path = path;
    if (path != null) {
      out =
          new BufferedWriter(
              Files.newBufferedWriter(
                  path,
                  StandardCharsets.UTF_8,
                  StandardOpenOption.CREATE,
                  StandardOpenOption.WRITE,
                  StandardOpenOption.APPEND),
              1 << 16);
    }
  }

  /** Append one object. */
  void add(Map<String, ?> object) {
    if (path == null) {
      return;
    }
    try {
      add(JSON.writeValueAsString(object));
    } catch (JsonProcessingException e) {
      throw new IllegalArgumentException(e);
    }
  }

  /** Append one line that is JSON already. */
  synchronized void add(CharSequence json) {
    if (out == null) {
      return;
    }
    try {
      out.append(json).append('\n');
    } catch (IOException e) {
      LOG.error("cannot write {}: {}", path, e.toString());
    }
  }

  /** Hand to the operating system what is buffered. */
  synchronized void flush() {
    if (out == null) {
      return;
    }
    try {
      out.flush();
    } catch (IOException e) {
      LOG.error("cannot write {}: {}", path, e.toString());
    }
  }

  @Override
  public synchronized void close() throws IOException {
    if (out != null) {
      out.close();
      out = null;
    }
  }

  /** Quote a string as JSON does. */
  static String quote(String text) {
    try {
      return JSON.writeValueAsString(text);
    } catch (JsonProcessingException e) {
      throw new IllegalArgumentException(e);
    }
  }
}
