package io.flownexus.leshan.server;

import io.flownexus.leshan.server.base.AtomicFile;
import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.StartupException;
import io.flownexus.leshan.server.base.Tokens;
import io.flownexus.leshan.server.bootstrap.BootstrapServer;
import io.flownexus.leshan.server.coap.DtlsSessions;
import io.flownexus.leshan.server.json.Json;
import io.flownexus.leshan.server.security.Credentials;
import io.flownexus.leshan.server.security.NewEndpoints;
import io.flownexus.leshan.server.security.PlainCoap;
import io.flownexus.leshan.server.webhook.WebhookKind;
import io.flownexus.leshan.server.webhook.WebhookSettings;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.function.Function;
import org.slf4j.event.Level;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The command line of the server. */
@Command(
    name = "leshan-server",
    mixinStandardHelpOptions = true,
    description = "Translates LwM2M to webhooks, and REST to LwM2M.",
    sortOptions = false,
    showDefaultValues = true)
public final class Main implements Callable<Integer> {

  private enum LogFormat {
    TEXT,
    JSON
  }

  private static final Duration STOP_PATIENCE = Duration.ofSeconds(5);
  private static final Duration FIRST_RETRY = Duration.ofMillis(100);
  private static final Duration LONGEST_RETRY = Duration.ofSeconds(10);

  @Option(
      names = "--coap-host",
      defaultValue = "127.0.0.1",
      description = "address for CoAP and CoAPS")
  private String coapHost;

  @Option(names = "--coap-port", defaultValue = "5683", description = "UDP port; 0 is any free one")
  private int coapPort;

  @Option(
      names = "--coaps-port",
      defaultValue = "5684",
      description = "UDP port; 0 is any free one")
  private int coapsPort;

  @Option(
      names = "--plain-coap",
      description =
          "endpoint that may register over plain CoAP: its name, or a prefix with *; can be"
              + " repeated; without it the CoAP port is closed")
  private List<String> plainCoap = List.of();

  @Option(
      names = "--new-endpoints-per-address",
      defaultValue = "20",
      description =
          "how many new endpoints may register over plain CoAP from one address in a minute")
  private int newEndpointsPerAddress;

  @Option(
      names = "--new-endpoints",
      defaultValue = "200",
      description = "the same, from all addresses")
  private int newEndpoints;

  @Option(
      names = "--http-host",
      defaultValue = "127.0.0.1",
      description = "address of the REST API")
  private String httpHost;

  @Option(names = "--http-port", defaultValue = "8090", description = "TCP port; 0 is any free one")
  private int httpPort;

  @Option(
      names = "--metrics-host",
      defaultValue = "127.0.0.1",
      description = "address of /metrics, which requires no token")
  private String metricsHost;

  @Option(
      names = "--metrics-port",
      defaultValue = "8092",
      description = "TCP port; 0 is any free one")
  private int metricsPort;

  @Option(
      names = "--api-token-file",
      required = true,
      description = "file of the REST API's bearer tokens, one a line")
  private Path apiTokenFile;

  @Option(
      names = "--secrets-token-file",
      description =
          "file of bearer tokens that may also read the devices' keys; without it nobody may")
  private Path secretsTokenFile;

  @Option(names = "--webhook-single", description = "URL to post single values to")
  private URI webhookSingle;

  @Option(names = "--webhook-composite", description = "URL to post composites to")
  private URI webhookComposite;

  @Option(names = "--webhook-registration", description = "URL to post registrations to")
  private URI webhookRegistration;

  @Option(
      names = "--webhook-token-file",
      description = "file whose first line is the bearer token of the webhooks")
  private Path webhookTokenFile;

  @Option(
      names = "--webhook-timeout",
      defaultValue = "15s",
      description = "time for a post to be answered")
  private Duration webhookTimeout;

  @Option(names = "--lanes", defaultValue = "2", description = "ordered streams of each webhook")
  private int lanes;

  @Option(names = "--batch-items", defaultValue = "4000", description = "most items in one post")
  private int batchItems;

  @Option(
      names = "--spool",
      description = "file that keeps items until they are stored; required without --count-only")
  private Path spool;

  @Option(
      names = "--max-spool-bytes",
      defaultValue = "1073741824",
      description = "size of the waiting items in the spool at which devices are refused")
  private long maxSpoolBytes;

  @Option(
      names = "--count-only",
      description = "count items, but neither keep nor post them; for benchmarks")
  private boolean countOnly;

  @Option(names = "--security-store", description = "file of the devices' credentials (JSON)")
  private Path securityStore;

  @Option(names = "--server-cert", description = "PEM file of the certificate chain, for X.509")
  private Path serverCert;

  @Option(names = "--server-key", description = "PEM file of the private key, for X.509")
  private Path serverKey;

  @Option(names = "--ca-cert", description = "PEM file of the CAs that issue devices' certificates")
  private Path caCert;

  @Option(names = "--models", description = "folder of object models of your own (XML)")
  private Path models;

  @Option(
      names = "--firmware-url",
      description =
          "URL of the firmware server, whose packages are then served over CoAP at /fw/<token>")
  private URI firmwareUrl;

  @Option(
      names = "--models-url",
      description =
          "URL of the function that returns the object models of users; called with the token of"
              + " the webhooks")
  private URI modelsUrl;

  @Option(names = "--models-period", defaultValue = "5s", description = "how often it is called")
  private Duration modelsPeriod;

  @Option(
      names = "--client-awake-time",
      defaultValue = "93s",
      description =
          "how long a queue-mode device listens after each contact, unless its registration"
              + " (awake=<seconds>) or a request says otherwise")
  private Duration clientAwakeTime;

  @Option(
      names = "--follow-address",
      defaultValue = "true",
      arity = "1",
      description =
          "whether a device's new address over DTLS counts from its next message; false: from its"
              + " next update")
  private boolean followAddress;

  @Option(
      names = "--dtls-sessions",
      description =
          "file that keeps DTLS sessions from an orderly stop to the next start; without it devices"
              + " make new ones")
  private Path dtlsSessions;

  @Option(
      names = "--dtls-sessions-secret-file",
      description = "file whose first line is the secret that encrypts --dtls-sessions")
  private Path dtlsSessionsSecretFile;

  @Option(
      names = "--bootstrap-url",
      description =
          "URL of the function that decides who may bootstrap, and with which objects; without it"
              + " there is no bootstrap server")
  private URI bootstrapUrl;

  @Option(
      names = "--bootstrap-token-file",
      description = "file whose first line is the bearer token for --bootstrap-url")
  private Path bootstrapTokenFile;

  @Option(
      names = "--bootstrap-port",
      defaultValue = "5784",
      description = "UDP port of the bootstrap server, for CoAPS; 0 is any free one")
  private int bootstrapPort;

  @Option(
      names = "--bridged-gap",
      defaultValue = "30s",
      description =
          "longest gap in receiving after which observations are not repeated, because devices"
              + " retransmit for at least as long (RFC 7252, 4.8.2)")
  private Duration bridgedGap;

  @Option(
      names = "--ready-file",
      description = "file to write when ready: ports and process id (JSON)")
  private Path readyFile;

  @Option(
      names = "--log-level",
      defaultValue = "info",
      description = "level of this program: ${COMPLETION-CANDIDATES}; libraries log at WARN")
  private Level logLevel;

  @Option(
      names = "--log-format",
      defaultValue = "${env:LOG_FORMAT:-text}",
      description = "${COMPLETION-CANDIDATES}; default: environment variable LOG_FORMAT, or TEXT")
  private LogFormat logFormat;

  /** Run until told to stop. */
  public static void main(String[] args) {
    int status = commandLine().execute(args);
    if (status != 0) {
      System.exit(status);
    }
  }

  private static CommandLine commandLine() {
    return new CommandLine(new Main())
        .setCaseInsensitiveEnumValuesAllowed(true)
        .registerConverter(Duration.class, new DurationConverter())
        .setParameterExceptionHandler((e, args) -> complain(e.getMessage(), 2))
        .setExecutionExceptionHandler(
            (e, line, result) -> {
              if (e instanceof StartupException) {
                return complain(e.getMessage(), 1);
              }
              throw e;
            });
  }

  private static int complain(String message, int status) {
    System.err.println("leshan-server: " + message.replaceAll("\\s+", " "));
    return status;
  }

  @Override
  public Integer call() throws IOException, InterruptedException {
    // logback.xml takes them, when the first logger is asked for.
    System.setProperty("LOG_LEVEL", logLevel.name());
    System.setProperty("LOG_FORMAT", logFormat.name());
    // Functions close idle connections sooner than this client would by default.
    System.setProperty("jdk.httpclient.keepalive.timeout", "4");
    Application application = new Application(settings());
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  application.stop(STOP_PATIENCE);
                  Runtime.getRuntime().halt(0);
                },
                "stop"));
    try {
      application.start();
      writeReadyFile(application);
    } catch (StartupException e) {
      complain(e.getMessage(), 1);
      Runtime.getRuntime().halt(1); // past the hook: there is nothing to flush
    }
    new CountDownLatch(1).await();
    return 0;
  }

  private ServerSettings settings() {
    if (newEndpointsPerAddress < 1 || newEndpoints < 1) {
      throw new StartupException(
          "--new-endpoints-per-address and --new-endpoints must be 1 or more");
    }
    return new ServerSettings(
        coapHost,
        coapPort,
        coapsPort,
        new PlainCoap(plainCoap),
        new NewEndpoints.Limits(newEndpointsPerAddress, newEndpoints),
        httpHost,
        httpPort,
        metricsHost,
        metricsPort,
        Tokens.read(apiTokenFile),
        secretsTokenFile == null ? null : Tokens.read(secretsTokenFile),
        countOnly
            ? metrics -> new CountingDelivery(bridgedGap, clientAwakeTime, metrics)
            : webhookDelivery(),
        securityStore,
        Credentials.read(serverCert, serverKey, caCert),
        models,
        firmwareUrl == null ? null : http("--firmware-url", firmwareUrl),
        usersModels(),
        clientAwakeTime,
        followAddress,
        dtlsSessions(),
        bootstrap());
  }

  private BootstrapServer.Settings bootstrap() {
    if ((bootstrapUrl == null) != (bootstrapTokenFile == null)) {
      throw new StartupException(
          "--bootstrap-url and --bootstrap-token-file go together: give both or none");
    }
    return bootstrapUrl == null
        ? null
        : new BootstrapServer.Settings(
            coapHost,
            bootstrapPort,
            http("--bootstrap-url", bootstrapUrl),
            Tokens.read(bootstrapTokenFile));
  }

  private DtlsSessions dtlsSessions() {
    if ((dtlsSessions == null) != (dtlsSessionsSecretFile == null)) {
      throw new StartupException(
          "--dtls-sessions and --dtls-sessions-secret-file go together: give both or none");
    }
    return dtlsSessions == null
        ? DtlsSessions.none()
        : DtlsSessions.in(dtlsSessions, dtlsSessionsSecretFile);
  }

  private Function<Metrics, Delivery> webhookDelivery() {
    if (lanes < 1 || batchItems < 1 || maxSpoolBytes < 1) {
      throw new StartupException("--lanes, --batch-items and --max-spool-bytes must be 1 or more");
    }
    if (spool == null) {
      throw new StartupException("--spool is required without --count-only");
    }
    if (webhookTokenFile == null) {
      throw new StartupException("--webhook-token-file is required without --count-only");
    }
    WebhookSettings webhooks =
        new WebhookSettings(
            Map.of(
                WebhookKind.SINGLE, http("--webhook-single", webhookSingle),
                WebhookKind.COMPOSITE, http("--webhook-composite", webhookComposite),
                WebhookKind.REGISTRATION, http("--webhook-registration", webhookRegistration)),
            Tokens.read(webhookTokenFile),
            lanes,
            batchItems,
            webhookTimeout,
            FIRST_RETRY,
            LONGEST_RETRY);
    return metrics ->
        new WebhookDelivery(webhooks, spool, maxSpoolBytes, bridgedGap, clientAwakeTime, metrics);
  }

  private UsersModels.Settings usersModels() {
    if (modelsUrl == null) {
      return null;
    }
    if (webhookTokenFile == null || spool == null) {
      throw new StartupException("--models-url requires --webhook-token-file and --spool");
    }
    return new UsersModels.Settings(
        http("--models-url", modelsUrl),
        Tokens.read(webhookTokenFile),
        modelsPeriod,
        Path.of(spool + ".models"));
  }

  private static URI http(String flag, URI uri) {
    if (uri == null) {
      throw new StartupException(flag + " is required without --count-only");
    }
    boolean known = "http".equals(uri.getScheme()) || "https".equals(uri.getScheme());
    if (!known || uri.getHost() == null) {
      throw new StartupException(flag + " must be an http or https URL, not " + uri);
    }
    return uri;
  }

  private void writeReadyFile(Application application) {
    if (readyFile == null) {
      return;
    }
    byte[] json =
        Json.bytes(
            out -> {
              out.writeStartObject();
              out.writeNumberField("coap", application.coapPort());
              out.writeNumberField("coaps", application.coapsPort());
              if (application.bootstrapPort() != 0) {
                out.writeNumberField("bootstrap", application.bootstrapPort());
              }
              out.writeNumberField("http", application.httpPort());
              out.writeNumberField("metrics", application.metricsPort());
              out.writeNumberField("pid", ProcessHandle.current().pid());
              out.writeEndObject();
            });
    try {
      AtomicFile.write(readyFile, json);
    } catch (IOException e) {
      throw new StartupException("cannot write the ready file " + readyFile + " (" + e + ")", e);
    }
  }
}
