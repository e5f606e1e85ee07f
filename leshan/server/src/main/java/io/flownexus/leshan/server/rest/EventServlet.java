package io.flownexus.leshan.server.rest;

import jakarta.servlet.AsyncContext;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.endpoint.LwM2mServerEndpoint;
import org.eclipse.leshan.transport.californium.server.endpoint.CaliforniumServerEndpoint;

/**
 * Serves /api/event: what happens to devices as server-sent events; with ?ep= one device's, and its
 * CoAP messages.
 */
final class EventServlet extends HttpServlet {

  private static final long serialVersionUID = 1L;
  private static final long HEARTBEAT_SECONDS = 2;

  private final transient Set<EventStream> streams = ConcurrentHashMap.newKeySet();
  private final transient ScheduledExecutorService timer =
      Executors.newSingleThreadScheduledExecutor(
          task -> {
            Thread thread = new Thread(task, "event-heartbeat");
            thread.setDaemon(true);
            return thread;
          });

  EventServlet(LeshanServer server) {
    EventSource source = new EventSource(server, streams);
    server.getRegistrationService().addListener(source);
    server.getObservationService().addListener(source);
    server.getPresenceService().addListener(source);
    server.getSendService().addListener(source);
    CoapLog log = new CoapLog(server.getRegistrationStore(), streams);
    for (LwM2mServerEndpoint endpoint : server.getEndpoints()) {
      if (endpoint instanceof CaliforniumServerEndpoint californium) {
        californium.getCoapEndpoint().addInterceptor(log);
      }
    }
    // A caller that is gone shows only when it is written to.
    timer.scheduleAtFixedRate(
        () -> streams.forEach(EventStream::heartbeat),
        HEARTBEAT_SECONDS,
        HEARTBEAT_SECONDS,
        TimeUnit.SECONDS);
  }

  @Override
  protected void doGet(HttpServletRequest request, HttpServletResponse response)
      throws IOException {
    String endpoint = ApiRequest.of(request).query().get("ep");
    response.setContentType("text/event-stream;charset=utf-8");
    response.setHeader("Cache-Control", "no-cache");
    response.flushBuffer();
    AsyncContext async = request.startAsync();
    async.setTimeout(0);
    EventStream stream = new EventStream(async, endpoint, streams::remove);
    streams.add(stream);
    stream.open();
    WatchedEndPoint.watch(
        request, TimeUnit.SECONDS.toMillis(15 * HEARTBEAT_SECONDS), stream::close);
  }

  @Override
  public void destroy() {
    timer.shutdownNow();
  }
}
