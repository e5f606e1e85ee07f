package io.flownexus.leshan.server.webhook;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
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

/** What a function answered to a batch; status 0 is no answer at all, its reason is in text. */
record Answer(int status, String text, Duration retryAfter, long mark, List<String> rejected) {

  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final int TEXT_BOUND = 200;

  static Answer failed(Throwable error) {
    Throwable reason =
        error instanceof CompletionException && error.getCause() != null ? error.getCause() : error;
    return new Answer(0, String.valueOf(reason), null, -1, List.of());
  }

  static Answer of(HttpResponse<byte[]> response) {
    int status = response.statusCode();
    byte[] body = response.body();
    Duration retryAfter =
        response.headers().firstValue("Retry-After").map(Answer::retryAfter).orElse(null);
    if (status == 200) {
      try {
        JsonNode json = MAPPER.readTree(body);
        List<String> rejected =
            json.path("rejected").valueStream().map(JsonNode::toString).toList();
        return new Answer(status, "", retryAfter, json.path("mark").asLong(-1), rejected);
      } catch (IOException e) { // stored all the same: only 200 says so
        return new Answer(status, "", retryAfter, -1, List.of());
      }
    }
    String text = new String(body, StandardCharsets.UTF_8);
    return new Answer(
        status,
        text.length() > TEXT_BOUND ? text.substring(0, TEXT_BOUND) : text,
        retryAfter,
        -1,
        List.of());
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
