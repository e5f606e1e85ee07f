package io.flownexus.leshan.server.bootstrap;

import com.fasterxml.jackson.databind.JsonNode;
import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.StartupException;
import io.flownexus.leshan.server.base.Tokens;
import io.flownexus.leshan.server.bootstrap.Functions.RefusedException;
import io.flownexus.leshan.server.coap.ClockedMessageIds;
import io.flownexus.leshan.server.coap.DeviceConnector;
import io.flownexus.leshan.server.coap.DtlsSessions;
import io.flownexus.leshan.server.coap.HandshakeLog;
import io.flownexus.leshan.server.codec.Codecs;
import io.flownexus.leshan.server.security.RefusalListener;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;
import org.eclipse.californium.core.CoapExchange;
import org.eclipse.californium.core.CoapResource;
import org.eclipse.californium.core.CoapServer;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.core.config.CoapConfig.TrackerMode;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.elements.auth.PreSharedKeyIdentity;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.elements.config.SystemConfig;
import org.eclipse.californium.elements.config.UdpConfig;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.californium.scandium.config.DtlsConfig.DtlsRole;
import org.eclipse.californium.scandium.config.DtlsConnectorConfig;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.node.codec.LwM2mEncoder;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.transport.californium.Lwm2mEndpointContextMatcher;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Hands out to devices what a function says, over CoAPS on a port of its own.
 *
 * <p>It decides nothing: the function knows the factory keys, begins sessions, and is told how they
 * end.
 */
public final class BootstrapServer implements AutoCloseable {

  /** Where devices come, and where the function is that is asked, as whom. */
  public record Settings(String host, int port, URI url, Tokens tokens) {}

  private static final Logger LOG = LoggerFactory.getLogger(BootstrapServer.class);
  private static final int MAX_PEERS = 10_000;
  private static final int TRIES_TO_BEGIN = 3;
  private static final int TRIES_TO_END = 6;

  private final Functions functions;
  private final Supplier<LwM2mModel> models;
  private final LwM2mEncoder encoder = Codecs.encoder();
  private final CoapServer server;
  private final CoapEndpoint endpoint;
  private final Map<String, Session> sessions = new ConcurrentHashMap<>();

  /** Describe it, without opening its port. */
  public BootstrapServer(
      Settings settings, Supplier<LwM2mModel> models, Metrics metrics, RefusalListener listener) {
    this.models = models;
    functions = new Functions(settings.url(), settings.tokens().header());
    Configuration configuration =
        new Configuration(
            SystemConfig.DEFINITIONS,
            CoapConfig.DEFINITIONS,
            UdpConfig.DEFINITIONS,
            DtlsConfig.DEFINITIONS);
    configuration.set(CoapConfig.MID_TRACKER, TrackerMode.NULL);
    configuration.set(CoapConfig.MAX_ACTIVE_PEERS, MAX_PEERS);
    configuration.set(DtlsConfig.DTLS_MAX_CONNECTIONS, MAX_PEERS);
    configuration.set(DtlsConfig.DTLS_ROLE, DtlsRole.SERVER_ONLY);
    FactoryKeys keys = new FactoryKeys(functions, MAX_PEERS);
    HandshakeLog log = new HandshakeLog(metrics, listener, keys::endpointOf);
    DtlsConnectorConfig dtls =
        DtlsConnectorConfig.builder(configuration)
            .setAddress(new InetSocketAddress(settings.host(), settings.port()))
            .setPskStore(keys)
            .setConnectionListener(log)
            .build();
    endpoint =
        ClockedMessageIds.use(CoapEndpoint.builder(), configuration)
            .setConfiguration(configuration)
            .setConnector(new DeviceConnector(dtls, log, DtlsSessions.none()))
            .setEndpointContextMatcher(new Lwm2mEndpointContextMatcher())
            .build();
    server = new CoapServer(configuration);
    server.addEndpoint(endpoint);
    server.add(new Bootstrap());
  }

  /** Open the port. */
  public void start() {
    server.start();
    if (!endpoint.isStarted()) {
      throw new StartupException(
          "cannot open the bootstrap server's port; give another one with --bootstrap-port");
    }
  }

  /** Return the port that it listens on. */
  public int port() {
    return endpoint.getAddress().getPort();
  }

  @Override
  public void close() {
    server.destroy();
    functions.close();
  }

  /** Takes a device's POST to /bs. */
  private final class Bootstrap extends CoapResource {

    Bootstrap() {
      super("bs");
    }

    @Override
    public void handlePOST(CoapExchange exchange) {
      Request request = exchange.advanced().getRequest();
      if (!(request.getSourceContext().getPeerIdentity() instanceof PreSharedKeyIdentity peer)) {
        exchange.respond(ResponseCode.FORBIDDEN);
        return;
      }
      Map<String, String> query = query(request);
      String name = query.getOrDefault("ep", peer.getIdentity());
      ContentFormat format = format(query.get("pct"));
      functions
          .ask(
              "begin",
              Map.of(
                  "identity",
                  peer.getIdentity(),
                  "endpoint",
                  name,
                  "address",
                  exchange.getSourceAddress().getHostAddress()),
              TRIES_TO_BEGIN)
          .whenComplete(
              (handed, error) -> {
                if (error == null) {
                  exchange.respond(ResponseCode.CHANGED);
                  begin(name, request, format, handed);
                } else if (error instanceof RefusedException) {
                  LOG.warn("bootstrap of '{}' refused: {}", name, error.getMessage());
                  exchange.respond(ResponseCode.BAD_REQUEST, error.getMessage());
                } else {
                  LOG.warn("bootstrap of '{}' cannot begin: {}", name, error.toString());
                  exchange.respond(ResponseCode.SERVICE_UNAVAILABLE);
                }
              });
    }
  }

  private static Map<String, String> query(Request request) {
    Map<String, String> query = new HashMap<>();
    for (String each : request.getOptions().getUriQueryStrings()) {
      int equals = each.indexOf('=');
      if (equals > 0) {
        query.put(each.substring(0, equals), each.substring(equals + 1));
      }
    }
    return query;
  }

  private ContentFormat format(String preferred) {
    if (preferred != null && preferred.matches("\\d{1,5}")) {
      ContentFormat wanted = ContentFormat.fromCode(Integer.parseInt(preferred));
      if (encoder.isSupported(wanted)) {
        return wanted;
      }
    }
    return ContentFormat.TLV;
  }

  private void begin(String name, Request request, ContentFormat format, JsonNode handed) {
    long id = handed.path("session").asLong();
    LwM2mModel model = models.get();
    List<Write> writes = new ArrayList<>();
    handed.path("writes").forEach(each -> writes.add(Write.of(each)));
    Session[] self = new Session[1];
    Session session =
        new Session(
            endpoint,
            request.getSourceContext(),
            format,
            writes,
            write -> write.encode(encoder, format, model),
            failure -> {
              sessions.remove(name, self[0]);
              end(name, id, failure);
            });
    self[0] = session;
    Session before = sessions.put(name, session);
    if (before != null) {
      before.cancel();
    }
    session.begin();
  }

  private void end(String name, long id, String failure) {
    if (failure == null) {
      LOG.info("bootstrap of '{}' finished", name);
    } else {
      LOG.warn("bootstrap of '{}' failed: {}", name, failure);
    }
    Map<String, Object> body = new HashMap<>();
    body.put("session", id);
    body.put("failure", failure);
    functions
        .ask("end", body, TRIES_TO_END)
        .exceptionally(
            error -> {
              LOG.warn("the end of the bootstrap of '{}' is not told: {}", name, error.toString());
              return null;
            });
  }
}
