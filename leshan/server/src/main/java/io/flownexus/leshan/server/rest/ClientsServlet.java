package io.flownexus.leshan.server.rest;

import com.fasterxml.jackson.core.JsonGenerator;
import io.flownexus.leshan.server.base.CorrelationId;
import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.Metrics.Gauge;
import io.flownexus.leshan.server.codec.AnswerHistory;
import io.flownexus.leshan.server.firmware.Pushes;
import io.flownexus.leshan.server.firmware.Pushes.Standing;
import io.flownexus.leshan.server.json.RegistrationWriter;
import io.flownexus.leshan.server.presence.AwakeTimes;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.eclipse.californium.core.coap.MessageObserverAdapter;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.request.CancelCompositeObservationRequest;
import org.eclipse.leshan.core.request.CancelObservationRequest;
import org.eclipse.leshan.core.request.DownlinkDeviceManagementRequest;
import org.eclipse.leshan.core.request.ExecuteRequest;
import org.eclipse.leshan.core.request.ObserveCompositeRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.SimpleDownlinkRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.request.exception.InvalidRequestException;
import org.eclipse.leshan.core.request.exception.RequestCanceledException;
import org.eclipse.leshan.core.request.exception.TimeoutException;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.registration.Registration;

/** Serves /api/clients: the registered devices, and LwM2M requests to them. */
final class ClientsServlet extends HttpServlet {

  private static final long serialVersionUID = 1L;
  private static final long DEFAULT_TIMEOUT_MILLIS = 5000;
  private static final long LONGEST_TIMEOUT_MILLIS = 3_600_000;
  private static final long GRACE_MILLIS = 10_000;

  private final transient LeshanServer server;
  private final transient Observations observations;
  private final transient AwakeTimes awakeTimes;
  private final transient Consumer<Registration> unanswered;
  private final transient Pushes pushes;
  private final transient Supplier<CompletionStage<Void>> saved;
  private final transient Metrics metrics;
  private final transient AtomicLong open = new AtomicLong();

  ClientsServlet(
      LeshanServer server,
      AwakeTimes awakeTimes,
      Consumer<Registration> unanswered,
      Pushes pushes,
      Supplier<CompletionStage<Void>> saved,
      Metrics metrics) {
    this.server = server;
    this.observations = new Observations(server.getObservationService());
    this.awakeTimes = awakeTimes;
    this.unanswered = unanswered;
    this.pushes = pushes;
    this.saved = saved;
    this.metrics = metrics;
    metrics.show(Gauge.OPEN_REQUESTS, open::get);
  }

  @Override
  protected void service(HttpServletRequest httpRequest, HttpServletResponse httpResponse)
      throws IOException {
    RequestLog log = RequestLog.of(httpRequest);
    if (log.correlationId() != null) {
      httpResponse.setHeader(CorrelationId.HEADER, log.correlationId());
    }
    try {
      ApiRequest request = ApiRequest.of(httpRequest);
      boolean get = request.method().equals("GET");
      if (request.segments().isEmpty()) {
        requireGet(get);
        answer(httpResponse, log, list());
        return;
      }
      log = log.about(request.segments().get(0));
      Registration registration = registration(log.endpoint());
      if (request.segments().size() == 1) {
        requireGet(get);
        answer(httpResponse, log, HttpAnswer.json(out -> write(out, registration)));
      } else if (isObservations(request)) {
        requireGet(get);
        answer(httpResponse, log, observations.list(registration));
      } else if (request.method().equals("DELETE") && DeviceRequests.isObservation(request)) {
        cancel(registration, request, httpRequest, log);
      } else if (DeviceRequests.isPush(request)) {
        tellAwakeTime(registration, request);
        push(registration, request, httpRequest, log);
      } else {
        tellAwakeTime(registration, request);
        DownlinkDeviceManagementRequest<?> lwm2m = DeviceRequests.of(request);
        if (pushes != null
            && (lwm2m instanceof ExecuteRequest || lwm2m instanceof WriteRequest)
            && lwm2m instanceof SimpleDownlinkRequest<?> told) {
          pushes.stop(registration, told.getPath());
        }
        send(registration, lwm2m, timeout(request), httpRequest, log, response -> {});
      }
    } catch (RuntimeException e) {
      answer(httpResponse, log, HttpAnswer.failed(e, log.endpoint()));
    }
  }

  private static void answer(HttpServletResponse response, RequestLog log, HttpAnswer answer)
      throws IOException {
    log.answered(answer);
    OpenRequest.respond(response, answer);
  }

  private <T extends LwM2mResponse> void send(
      Registration registration,
      DownlinkDeviceManagementRequest<T> request,
      long timeout,
      HttpServletRequest httpRequest,
      RequestLog log,
      Consumer<LwM2mResponse> then) {
    OpenRequest waiting = open(httpRequest, log, timeout + GRACE_MILLIS);
    WatchedEndPoint.watch(httpRequest, timeout + 2 * GRACE_MILLIS, waiting::abandon);
    AnswerHistory history = new AnswerHistory();
    try {
      server.send(
          registration,
          request,
          lower -> {
            if (lower instanceof Request coap) {
              observations.takeOver(registration, request, coap);
              keepHistory(coap, history);
            }
            waiting.sending(lower);
          },
          timeout,
          response -> {
            then.accept(response);
            HttpAnswer answer = HttpAnswer.answered(response, history.older());
            if (observes(request)) {
              endSaved(waiting, answer);
            } else {
              waiting.end(answer);
            }
          },
          error -> {
            if (error instanceof TimeoutException) {
              unanswered.accept(registration);
            }
            waiting.fail(error);
          });
    } catch (RuntimeException e) {
      waiting.fail(e);
    }
  }

  // Leshan's own observer, which decodes the answer on the same thread, comes after this one.
  private static void keepHistory(Request coap, AnswerHistory history) {
    coap.addMessageObserver(
        new MessageObserverAdapter() {
          @Override
          public void onResponse(Response response) {
            history.expect(response.getPayload());
          }
        });
  }

  private void push(
      Registration registration,
      ApiRequest request,
      HttpServletRequest httpRequest,
      RequestLog log) {
    if (pushes == null) {
      throw new HttpError(ErrorCode.BAD_REQUEST, "No packages are served: see --firmware-url");
    }
    LwM2mPath path = new LwM2mPath(request.path(1, 4));
    String token = request.query().get("token");
    if (token == null) {
      throw new HttpError(ErrorCode.BAD_REQUEST, "parameter token is missing");
    }
    long timeout = timeout(request);
    OpenRequest waiting = open(httpRequest, log, timeout + GRACE_MILLIS);
    Standing begun = pushes.ask(registration, path, token);
    begun
        .end()
        .copy()
        .completeOnTimeout(null, timeout, TimeUnit.MILLISECONDS)
        .whenComplete(
            (response, error) -> {
              if (error == null && response == null) {
                Standing now = pushes.look(registration, path, token);
                waiting.end(
                    now == null
                        ? HttpAnswer.failed(
                            new RequestCanceledException("another push took its place"),
                            log.endpoint())
                        : HttpAnswer.underWay(now.sent(), now.size()));
                return;
              }
              pushes.told(registration, begun);
              if (error == null) {
                waiting.end(HttpAnswer.answered(response));
              } else {
                waiting.fail(error instanceof CompletionException ? error.getCause() : error);
              }
            });
  }

  // What was answered must not be forgotten by a restart.
  private void endSaved(OpenRequest waiting, HttpAnswer answer) {
    saved.get().thenRun(() -> waiting.end(answer));
  }

  private static boolean observes(DownlinkDeviceManagementRequest<?> request) {
    return request instanceof ObserveRequest
        || request instanceof ObserveCompositeRequest
        || request instanceof CancelObservationRequest
        || request instanceof CancelCompositeObservationRequest;
  }

  private void cancel(
      Registration registration,
      ApiRequest request,
      HttpServletRequest httpRequest,
      RequestLog log) {
    boolean active = request.query().containsKey("active");
    if (DeviceRequests.isCompositeObservation(request)) {
      List<String> paths = DeviceRequests.paths(request);
      if (active) {
        send(
            registration,
            new CancelCompositeObservationRequest(observations.of(registration, paths)),
            timeout(request),
            httpRequest,
            log,
            response -> {
              if (response.isSuccess()) {
                observations.forget(registration, paths);
              }
            });
        return;
      }
      observations.forget(registration, paths);
    } else {
      String path = request.path(1, request.segments().size() - 1);
      if (active) {
        send(
            registration,
            new CancelObservationRequest(observations.of(registration, path)),
            timeout(request),
            httpRequest,
            log,
            response -> {
              if (response.isSuccess()) {
                observations.forget(registration, path);
              }
            });
        return;
      }
      observations.forget(registration, path);
    }
    endSaved(open(httpRequest, log, GRACE_MILLIS), HttpAnswer.empty());
  }

  private OpenRequest open(HttpServletRequest request, RequestLog log, long timeout) {
    return new OpenRequest(request.startAsync(), log, timeout, open, metrics);
  }

  private Registration registration(String endpoint) {
    Registration registration = server.getRegistrationService().getByEndpoint(endpoint);
    if (registration == null) {
      throw new HttpError(
          ErrorCode.NOT_REGISTERED, "No registered client with id '" + endpoint + "'");
    }
    return registration;
  }

  private HttpAnswer list() {
    return HttpAnswer.json(
        out -> {
          out.writeStartArray();
          Iterator<Registration> all = server.getRegistrationService().getAllRegistrations();
          while (all.hasNext()) {
            write(out, all.next());
          }
          out.writeEndArray();
        });
  }

  private static boolean isObservations(ApiRequest request) {
    return request.segments().size() == 2 && request.segments().get(1).equals("observations");
  }

  private void write(JsonGenerator out, Registration registration) throws IOException {
    Boolean sleeping =
        registration.usesQueueMode()
            ? !server.getPresenceService().isClientAwake(registration)
            : null;
    RegistrationWriter.write(out, registration, sleeping);
  }

  private static void requireGet(boolean get) {
    if (!get) {
      throw new HttpError(ErrorCode.BAD_REQUEST, "Invalid path");
    }
  }

  // Who asks knows how long the device listens, where the device itself does not say.
  private void tellAwakeTime(Registration registration, ApiRequest request) {
    String text = request.query().get(AwakeTimes.PARAMETER);
    if (text == null) {
      return;
    }
    Duration awake = AwakeTimes.parse(text);
    if (awake == null) {
      throw new InvalidRequestException(
          "%s is no whole number of seconds from 1 to %d",
          AwakeTimes.PARAMETER, AwakeTimes.LONGEST_S);
    }
    awakeTimes.tell(registration, awake);
  }

  private static long timeout(ApiRequest request) {
    String text = request.query().get("timeout");
    if (text == null) {
      return DEFAULT_TIMEOUT_MILLIS;
    }
    try {
      double millis = Double.parseDouble(text) * 1000;
      if (millis >= 1 && millis <= LONGEST_TIMEOUT_MILLIS) {
        return Math.round(millis);
      }
    } catch (NumberFormatException e) {
      // answered below
    }
    throw new InvalidRequestException("timeout is no number of seconds up to 3600");
  }
}
