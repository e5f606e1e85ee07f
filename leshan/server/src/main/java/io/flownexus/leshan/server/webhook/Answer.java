package io.flownexus.leshan.server.webhook;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.io.IOException;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.List;
import java.util.concurrent.CompletionException;

/**
 * What was answered to a batch; status 0 is no answer at all, its reason is in text.
 *
 * <p>Who answers need not be the function: a wrong URL, a gateway or a captive portal says 200 and
 * 400 too. The mark is that of a function that stores, else -1; problem is the type of a problem
 * (RFC 9457), else empty.
 */
record Answer(
    int status,
    String text,
    Duration retryAfter,
    long mark,
    List<String> rejected,
    String problem) {

  /** What a webhook function says of a body that it will never take (flownexus/errors.py). */
  static final String UNREADABLE = "urn:flownexus:problem:unreadable-delivery";

  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final int TEXT_BOUND = 200;

  static Answer failed(Throwable error) {
    Throwable reason =
        error instanceof CompletionException && error.getCause() != null ? error.getCause() : error;
    return new Answer(0, String.valueOf(reason), null, -1, List.of(), "");
  }

  static Answer of(HttpResponse<byte[]> response) {
    byte[] body = response.body();
    Duration retryAfter =
        response.headers().firstValue("Retry-After").map(Answer::retryAfter).orElse(null);
    JsonNode json = json(body);
    if (response.statusCode() == 200 && json.path("mark").isIntegralNumber()) {
      List<String> rejected = json.path("rejected").valueStream().map(JsonNode::toString).toList();
      return new Answer(200, "", retryAfter, json.path("mark").asLong(), rejected, "");
    }
    String text = new String(body, StandardCharsets.UTF_8);
    return new Answer(
        response.statusCode(),
        text.length() > TEXT_BOUND ? text.substring(0, TEXT_BOUND) : text,
        retryAfter,
        -1,
        List.of(),
        json.path("type").asText());
  }

  /** Return whether a function says that it has all of a batch. */
  boolean stored(Batch batch) {
    return status == 200 && mark >= batch.lastSeq();
  }

  /** Return whether a webhook function says that it cannot read what was posted, ever. */
  boolean unreadable() {
    return status == 400 && problem.equals(UNREADABLE);
  }

  /** Say for the log what was answered. */
  String told() {
    return switch (status) {
      case 0 -> "no answer: " + text;
      case 200 ->
          mark < 0
              ? "200 without a mark, which is no webhook function's (is the URL right?): " + text
              : "200 with mark " + mark + ", which is not the batch's last number";
      default -> status + " " + text;
    };
  }

  /** Return what JSON says, which is nothing if it is none. */
  static JsonNode json(byte[] body) {
    try {
      return MAPPER.readTree(body);
    } catch (IOException e) {
      return MissingNode.getInstance();
    }
  }

  private static Duration retryAfter(String header) {
    try {
      return Duration.ofMillis(Math.round(Double.parseDouble(header.strip()) * 1000));
    } catch (NumberFormatException e) {
      try {
        ZonedDateTime date =
            ZonedDateTime.parse(header.strip(), DateTimeFormatter.RFC_1123_DATE_TIME);
        return Duration.between(Instant.now(), date.toInstant());
      } catch (DateTimeException notADate) {
        return null;
      }
    }
  }
}
