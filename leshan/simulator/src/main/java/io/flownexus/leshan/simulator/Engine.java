package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.io.InputStream;
import java.net.http.HttpClient;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.elements.config.Configuration;
import org.eclipse.californium.elements.util.ExecutorsUtil;
import org.eclipse.californium.elements.util.ProtocolScheduledExecutorService;
import org.eclipse.californium.scandium.config.DtlsConfig;
import org.eclipse.leshan.client.servers.DefaultServersInfoExtractor;
import org.eclipse.leshan.client.servers.ServersInfoExtractor;
import org.eclipse.leshan.client.util.LinkFormatHelper;
import org.eclipse.leshan.core.LwM2m.LwM2mVersion;
import org.eclipse.leshan.core.model.InvalidDDFFileException;
import org.eclipse.leshan.core.model.LwM2mModel;
import org.eclipse.leshan.core.model.ObjectLoader;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.StaticModel;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mDecoder;
import org.eclipse.leshan.core.node.codec.DefaultLwM2mEncoder;
import org.eclipse.leshan.core.node.codec.LwM2mDecoder;
import org.eclipse.leshan.core.node.codec.LwM2mEncoder;
import org.eclipse.leshan.core.util.NamedThreadFactory;
import org.eclipse.leshan.transport.californium.client.endpoint.CaliforniumClientEndpointsProvider;
import org.eclipse.leshan.transport.californium.client.endpoint.coap.CoapClientProtocolProvider;
import org.eclipse.leshan.transport.californium.client.endpoint.coaps.CoapsClientProtocolProvider;

/** Holds what all devices share: threads, sockets' poller, object models, codecs. */
final class Engine implements AutoCloseable {
  static final LwM2mVersion VERSION = LwM2mVersion.V1_1;

  final ProtocolScheduledExecutorService protocol;
  final ScheduledExecutorService timers;
  final UdpPoller poller;
  final Configuration coap;
  final LwM2mModel models;
  final LwM2mEncoder encoder = new DefaultLwM2mEncoder();
  final LwM2mDecoder decoder = new DefaultLwM2mDecoder();
  final LinkFormatHelper links = new LinkFormatHelper(VERSION);
  final ServersInfoExtractor servers = new DefaultServersInfoExtractor();
  final HttpClient http;
  final FirmwareLimits firmware;
  final ExecutorService bootstraps =
      Executors.newCachedThreadPool(new NamedThreadFactory("bootstrap-%d"));
  private final ExecutorService downloads;
  private final Map<Duration, Ticker> tickers = new HashMap<>();

  /** Start the threads; firmware packages above the limits are refused. */
  Engine(FirmwareLimits firmware) throws IOException {
    this.firmware = firmware;
    int cores = Runtime.getRuntime().availableProcessors();
    protocol =
        ExecutorsUtil.newProtocolScheduledThreadPool(
            1 + Math.max(2, cores), new NamedThreadFactory("coap-%d"));
    timers =
        ExecutorsUtil.newScheduledThreadPool(
            1 + Math.max(2, cores), new NamedThreadFactory("timer-%d"));
    poller = new UdpPoller();
    coap = configuration(firmware.bytes());
    models = loadModels();
    downloads = Executors.newFixedThreadPool(2, new NamedThreadFactory("download-%d"));
    http =
        HttpClient.newBuilder()
            .executor(downloads)
            .connectTimeout(firmware.connect())
            .followRedirects(HttpClient.Redirect.NORMAL)
            .build();
  }

  private static Configuration configuration(int packageBytes) {
    Configuration config =
        new CaliforniumClientEndpointsProvider.Builder(
                new CoapClientProtocolProvider(), new CoapsClientProtocolProvider())
            .createDefaultConfiguration();
    config.set(CoapConfig.MAX_RESOURCE_BODY_SIZE, packageBytes);
    config.set(DtlsConfig.DTLS_CONNECTION_ID_LENGTH, 0); // sends the server's, needs none itself
    config.set(DtlsConfig.DTLS_MAX_CONNECTIONS, 2);
    config.set(DtlsConfig.DTLS_ROLE, DtlsConfig.DtlsRole.CLIENT_ONLY);
    config.set(DtlsConfig.DTLS_MAX_RETRANSMISSIONS, 3);
    return config;
  }

  /** Load the models that leshan-core carries and the others that simulated objects need. */
  static LwM2mModel loadModels() throws IOException {
    List<ObjectModel> all = new ArrayList<>(ObjectLoader.loadDefault(VERSION));
    LwM2mModel carried = new StaticModel(all);
    for (ObjectKind kind : ObjectKind.values()) {
      if (carried.getObjectModel(kind.id) == null) {
        all.addAll(loadModel(kind.id + ".xml"));
      }
    }
    return new StaticModel(all);
  }

  private static List<ObjectModel> loadModel(String name) throws IOException {
    try (InputStream xml = Engine.class.getResourceAsStream("/oma-models/" + name)) {
      if (xml == null) {
        throw new IOException("the jar lacks the object model " + name);
      }
      return ObjectLoader.loadDdfFile(xml, name);
    } catch (InvalidDDFFileException e) {
      throw new IOException("object model " + name + " is not valid", e);
    }
  }

  /** Run once after a delay. */
  void after(Duration delay, Runnable task) {
    timers.schedule(task, delay.toNanos(), TimeUnit.NANOSECONDS);
  }

  /** Run at an interval from now on, at another moment than others do. */
  synchronized void every(Duration interval, Runnable task) {
    tickers.computeIfAbsent(interval, i -> new Ticker(timers, i)).add(task);
  }

  /** Run no longer what runs at an interval. */
  synchronized void noLonger(Duration interval, Runnable task) {
    if (tickers.get(interval).remove(task)) {
      tickers.remove(interval).stop();
    }
  }

  @Override
  public void close() throws IOException {
    timers.shutdownNow();
    protocol.shutdownNow();
    downloads.shutdownNow();
    bootstraps.shutdownNow();
    poller.close();
  }

  /**
   * Bounds a firmware download.
   *
   * @param bytes the largest package taken
   * @param connect until the server is reached
   * @param whole until the package is there
   */
  record FirmwareLimits(int bytes, Duration connect, Duration whole) {}
}
