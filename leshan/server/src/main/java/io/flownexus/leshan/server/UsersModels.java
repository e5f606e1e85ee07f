package io.flownexus.leshan.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.flownexus.leshan.server.base.AtomicFile;
import io.flownexus.leshan.server.base.Tokens;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.core.model.ResourceModel.Operations;
import org.eclipse.leshan.core.model.ResourceModel.Type;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Asks a function every few seconds for the object models that users have added.
 *
 * <p>A file keeps the last answer for the next start: devices may speak before the function does.
 */
final class UsersModels implements AutoCloseable {

  /** Where to ask, as whom, how often, and the file that keeps the answer. */
  record Settings(URI uri, Tokens tokens, Duration period, Path file) {}

  private static final Logger LOG = LoggerFactory.getLogger(UsersModels.class);
  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final Duration TIMEOUT = Duration.ofSeconds(10);
  private static final int FAILURES_TOLD = 3; // the function may start later than this server

  private final Settings settings;
  private final ObjectModels models;
  private final HttpClient client;
  private final ScheduledExecutorService executor;
  private String tag; // of the last answer; null before the first
  private int failures; // in a row

  /** Load what the file has; asking begins with {@link #start}. */
  UsersModels(Settings settings, ObjectModels models) {
    this.settings = settings;
    this.models = models;
    client =
        HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .followRedirects(HttpClient.Redirect.NEVER)
            .connectTimeout(TIMEOUT)
            .build();
    executor =
        Executors.newSingleThreadScheduledExecutor(
            task -> {
              Thread thread = new Thread(task, "users-models");
              thread.setDaemon(true);
              return thread;
            });
    try {
      if (Files.exists(settings.file())) {
        models.add(read(Files.readAllBytes(settings.file())));
      }
    } catch (IOException | RuntimeException e) {
      LOG.warn("{} is not read: {}", settings.file(), e.toString());
    }
  }

  void start() {
    executor.scheduleWithFixedDelay(
        this::ask, 0, settings.period().toMillis(), TimeUnit.MILLISECONDS);
  }

  @Override
  public void close() {
    executor.shutdownNow();
  }

  private void ask() {
    try {
      HttpRequest.Builder request =
          HttpRequest.newBuilder(settings.uri())
              .timeout(TIMEOUT)
              .header("Authorization", settings.tokens().header());
      if (tag != null) {
        request.header("If-None-Match", tag);
      }
      HttpResponse<byte[]> response =
          client.send(request.GET().build(), BodyHandlers.ofByteArray());
      if (response.statusCode() == 200) {
        List<ObjectModel> added = read(response.body());
        models.add(added);
        tag = response.headers().firstValue("ETag").orElse(null);
        AtomicFile.write(settings.file(), response.body());
        LOG.info("{} object models of users loaded", added.size());
      } else if (response.statusCode() != 304) {
        throw new IOException("HTTP status " + response.statusCode());
      }
      failures = 0;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (IOException | RuntimeException e) {
      failures++;
      if (failures == FAILURES_TOLD) {
        LOG.warn("users' object models: {}: {}; asked again", settings.uri(), e.toString());
      }
    }
  }

  private static List<ObjectModel> read(byte[] json) throws IOException {
    JsonNode objects = MAPPER.readTree(json).path("models");
    if (!objects.isArray()) {
      throw new IOException("no list of models");
    }
    List<ObjectModel> models = new ArrayList<>();
    for (JsonNode object : objects) {
      models.add(object(object));
    }
    return models;
  }

  private static ObjectModel object(JsonNode object) {
    List<ResourceModel> resources = new ArrayList<>();
    for (JsonNode resource : object.required("resources")) {
      String operations = resource.required("operations").asText();
      resources.add(
          new ResourceModel(
              resource.required("id").asInt(),
              resource.required("name").asText(),
              operations.isEmpty() ? Operations.NONE : Operations.valueOf(operations),
              resource.required("multiple").asBoolean(),
              resource.required("mandatory").asBoolean(),
              resource.required("type").isNull()
                  ? Type.NONE
                  : Type.valueOf(resource.required("type").asText()),
              "",
              resource.required("units").asText(""),
              ""));
    }
    return new ObjectModel(
        object.required("id").asInt(),
        object.required("name").asText(),
        "",
        object.required("version").asText(),
        object.required("multiple").asBoolean(),
        false,
        resources);
  }
}
