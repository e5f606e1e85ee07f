package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.base.Metrics;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.function.Supplier;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.http.HttpMethod;
import org.eclipse.jetty.http.HttpStatus;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.NetworkConnectionLimit;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.util.thread.QueuedThreadPool;

/** Serves /metrics and nothing else, to all who reach its port. */
public final class MetricsServer {

  private static final int THREADS = 4;
  private static final int MAX_CONNECTIONS = 64;
  private static final long IDLE_MILLIS = 10_000;

  private final Server server;
  private final ServerConnector connector;

  /** Set up, without opening the port. */
  public MetricsServer(String host, int port, Supplier<String> text) {
    QueuedThreadPool threads = new QueuedThreadPool(THREADS, 1);
    threads.setName("metrics");
    threads.setDaemon(true);
    server = new Server(threads);
    HttpConfiguration http = new HttpConfiguration();
    http.setSendServerVersion(false);
    connector = new ServerConnector(server, 0, 1, new HttpConnectionFactory(http));
    connector.setHost(host);
    connector.setPort(port);
    connector.setIdleTimeout(IDLE_MILLIS);
    server.addConnector(connector);
    server.addBean(new NetworkConnectionLimit(MAX_CONNECTIONS, connector));
    server.setHandler(new Page(text));
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

  private static final class Page extends Handler.Abstract.NonBlocking {

    private final Supplier<String> text;

    Page(Supplier<String> text) {
      this.text = text;
    }

    @Override
    public boolean handle(Request request, Response response, Callback callback) {
      if (!Request.getPathInContext(request).equals("/metrics")) {
        return end(response, callback, HttpStatus.NOT_FOUND_404);
      }
      if (!HttpMethod.GET.is(request.getMethod())) {
        response.getHeaders().put(HttpHeader.ALLOW, HttpMethod.GET.asString());
        return end(response, callback, HttpStatus.METHOD_NOT_ALLOWED_405);
      }
      response.getHeaders().put(HttpHeader.CONTENT_TYPE, Metrics.CONTENT_TYPE);
      response.write(true, ByteBuffer.wrap(text.get().getBytes(StandardCharsets.UTF_8)), callback);
      return true;
    }

    private static boolean end(Response response, Callback callback, int status) {
      response.setStatus(status);
      callback.succeeded();
      return true;
    }
  }
}
