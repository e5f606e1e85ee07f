package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.Tokens;
import io.flownexus.leshan.server.firmware.Pushes;
import io.flownexus.leshan.server.presence.AwakeTimes;
import io.flownexus.leshan.server.security.FileSecurityStore;
import io.flownexus.leshan.server.security.RegistrationWatch;
import io.flownexus.leshan.server.webhook.Spool;
import jakarta.servlet.DispatcherType;
import jakarta.servlet.Servlet;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import java.util.EnumSet;
import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.eclipse.jetty.ee10.servlet.FilterHolder;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.http.UriCompliance;
import org.eclipse.jetty.io.EndPoint;
import org.eclipse.jetty.io.ManagedSelector;
import org.eclipse.jetty.io.SocketChannelEndPoint;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.NetworkConnectionLimit;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.thread.QueuedThreadPool;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.registration.Registration;

/** The HTTP server: the REST API, its events and health. */
public final class HttpApi {

  private static final int THREADS = 16;
  private static final int ACCEPT_QUEUE = 8192;
  private static final long IDLE_MILLIS = 120_000;
  private static final long HEAD_SECONDS = 10;
  private static final int MAX_CONNECTIONS = 10_000; // more than operations are open at once

  private final Server server;
  private final ServerConnector connector;

  /**
   * Set up, without opening the port.
   *
   * <p>secretsTokens is null where nobody may read keys; saved tells when observations made so far
   * are safe; unanswered is told of devices that did not answer; pushes is null where no packages
   * are served.
   */
  public HttpApi(
      String host,
      int port,
      Tokens tokens,
      Tokens secretsTokens,
      LeshanServer lwm2m,
      AwakeTimes awakeTimes,
      Consumer<Registration> unanswered,
      Pushes pushes,
      FileSecurityStore security,
      RegistrationWatch watch,
      Metrics metrics,
      Spool spool,
      Supplier<CompletionStage<Void>> saved,
      Supplier<List<String>> troubles) {
    QueuedThreadPool threads = new QueuedThreadPool(THREADS, 4);
    threads.setName("http");
    threads.setDaemon(true);
    server = new Server(threads);
    HttpConfiguration http = new HttpConfiguration();
    http.setSendServerVersion(false);
    http.setUriCompliance(UriCompliance.UNSAFE); // endpoint names hold what they like
    connector = new WatchedConnector(server, http);
    connector.setHost(host);
    connector.setPort(port);
    connector.setAcceptQueueSize(ACCEPT_QUEUE);
    connector.setIdleTimeout(IDLE_MILLIS);
    server.addConnector(connector);
    server.addBean(new NetworkConnectionLimit(MAX_CONNECTIONS, connector));

    ServletContextHandler context = new ServletContextHandler("/", false, false);
    context.getServletHandler().setDecodeAmbiguousURIs(true);
    context.setErrorHandler(new JsonErrorHandler());
    server.setErrorHandler(new JsonErrorHandler());
    FilterHolder bearer =
        new FilterHolder(
            new BearerFilter(
                secretsTokens == null ? List.of(tokens) : List.of(tokens, secretsTokens)));
    bearer.setAsyncSupported(true);
    context.addFilter(bearer, "/api/*", EnumSet.of(DispatcherType.REQUEST));
    add(
        context,
        "/api/clients/*",
        new ClientsServlet(lwm2m, awakeTimes, unanswered, pushes, saved, metrics));
    add(context, "/api/security/*", new SecurityServlet(security, secretsTokens, watch));
    add(context, "/api/objectspecs/*", new ObjectSpecsServlet(lwm2m));
    add(context, "/api/event", new EventServlet(lwm2m));
    add(context, "/api/set-aside", new SetAsideServlet(spool));
    add(context, "/healthz", new HealthServlet(troubles));
    server.setHandler(new HeadWatch(context));
  }

  /** Open the port. */
  public void start() throws Exception {
    server.start();
  }

  /** Return the port it is bound to. */
  public int port() {
    return connector.getLocalPort();
  }

  /** Close the port and all connections. */
  public void stop() throws Exception {
    server.stop();
  }

  private static void add(ServletContextHandler context, String path, Servlet servlet) {
    ServletHolder holder = new ServletHolder(servlet);
    holder.setAsyncSupported(true);
    context.addServlet(holder, path);
  }

  private static final class WatchedConnector extends ServerConnector {

    WatchedConnector(Server server, HttpConfiguration http) {
      super(server, 1, 1, new HttpConnectionFactory(http));
    }

    @Override
    protected void doStart() throws Exception {
      super.doStart();
      getScheduler().schedule(this::closeSlow, 1, TimeUnit.SECONDS);
    }

    private void closeSlow() {
      if (!isRunning()) {
        return;
      }
      for (EndPoint each : getConnectedEndPoints()) {
        if (each instanceof WatchedEndPoint watched) {
          watched.closeIfHeadTakes(TimeUnit.SECONDS.toNanos(HEAD_SECONDS));
        }
      }
      getScheduler().schedule(this::closeSlow, 1, TimeUnit.SECONDS);
    }

    @Override
    protected SocketChannelEndPoint newEndPoint(
        SocketChannel channel, ManagedSelector selector, SelectionKey key) {
      return new WatchedEndPoint(
          channel, selector, key, getScheduler(), getExecutor(), getIdleTimeout());
    }
  }
}
