package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Starts the simulator from the command line. */
@Command(
    name = "leshan-simulator",
    mixinStandardHelpOptions = true,
    description = "Simulates LwM2M devices, many in one process.")
public final class Main implements Callable<Integer> {
  private static final Logger LOG = LoggerFactory.getLogger(Main.class);

  @Option(
      names = "--group",
      required = true,
      converter = GroupConverter.class,
      description = {
        "Devices that behave alike, repeatable: prefix=sim-,count=3,start=1,notify=2s (0: never,"
            + " max: as fast as ACKs come),",
        "sleepy,awake=10s,wakes (to notify),tells (how long it"
            + " listens),slow=10s,failing,lifetime=60s,update=20s (default: half the lifetime),",
        "ack=2s (until a message is sent again), renews (registers anew when a notification was"
            + " sent in vain, instead of forgetting its observer),",
        "bootstrap (--server is a bootstrap server, and the PSK one from the factory),",
        "objects=3+5+20+3303 (what a device has besides 0 and 1; 3304, humidity, is there too),",
        "firmware=none (or what goes wrong with an update: loses, resumes, reboots-downloading,"
            + " reboots-installing, rolls-back, forgets, never-returns, defers, misreads,"
            + " no-protocol),",
        "download=http (or coap, push: how firmware comes)."
      })
  private List<GroupSpec> groups;

  @Mixin private ConnectionOptions connection;

  @Option(
      names = "--ledger",
      description = "File to write: a line for each acknowledged value (JSON).")
  private Path ledgerFile;

  @Option(
      names = "--unacknowledged",
      description = "File to write: a line for each value that was never acknowledged (JSON).")
  private Path unacknowledgedFile;

  @Option(
      names = "--requests",
      description = "File to write: a line for each answered request (JSON).")
  private Path requestsFile;

  @Option(
      names = "--control-port",
      description = "Port of the control API on loopback; 0 is any free one.")
  private Integer controlPort;

  @Option(
      names = "--seed",
      defaultValue = "1",
      description = "Seed of the simulated values (default: ${DEFAULT-VALUE}).")
  private long seed;

  @Option(
      names = "--start-rate",
      defaultValue = "500",
      description = "How many devices start in a second (default: ${DEFAULT-VALUE}).")
  private double startRate;

  @Option(
      names = "--max-package-bytes",
      defaultValue = "16777216",
      description = "Largest firmware package accepted (default: ${DEFAULT-VALUE}).")
  private int maxPackageBytes;

  @Option(
      names = "--download-timeout",
      defaultValue = "60s",
      converter = DurationConverter.class,
      description = "Timeout of a firmware download (default: ${DEFAULT-VALUE}).")
  private Duration downloadTimeout;

  @Option(
      names = "--ready-file",
      description = "File written once all devices have tried to register: {\"control\", \"pid\"}.")
  private Path readyFile;

  /** Run until terminated; exit code 2 for a bad command line, 1 when something cannot start. */
  public static void main(String[] args) {
    CommandLine command = new CommandLine(new Main());
    command.setExecutionExceptionHandler(
        (error, line, result) -> {
          LOG.error("cannot start: {}", error.toString());
          return 1;
        });
    int code = command.execute(args);
    if (code != 0) {
      System.exit(code);
    }
  }

  @Override
  public Integer call() throws IOException, InterruptedException {
    Duration connect =
        downloadTimeout.compareTo(Duration.ofSeconds(10)) < 0
            ? downloadTimeout
            : Duration.ofSeconds(10);
    Engine engine =
        new Engine(new Engine.FirmwareLimits(maxPackageBytes, connect, downloadTimeout));
    FleetSettings settings =
        new FleetSettings(
            connection.server,
            connection.credentials(),
            connection.bind,
            new JsonLines(ledgerFile),
            new JsonLines(unacknowledgedFile),
            new JsonLines(requestsFile),
            seed);
    Simulator simulator = new Simulator(engine, groups, settings, controlPort);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> close(simulator), "shutdown"));
    simulator.fleet().start(startRate);
    LOG.info("turning on {} devices for {}", simulator.fleet().all().size(), connection.server);
    while (!simulator.fleet().haveTried()) {
      Thread.sleep(20);
    }
    if (readyFile != null) {
      writeReadyFile(simulator.controlPort());
    }
    Thread.currentThread().join();
    return 0;
  }

  private void writeReadyFile(Integer port) throws IOException {
    Path draft = readyFile.resolveSibling(readyFile.getFileName() + ".new");
    Files.writeString(
        draft, "{\"control\": " + port + ", \"pid\": " + ProcessHandle.current().pid() + "}\n");
    Files.move(
        draft, readyFile, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  private static void close(Simulator simulator) {
    try {
      simulator.close();
    } catch (IOException e) {
      LOG.error("cannot write the last lines: {}", e.toString());
    }
  }

  private static final class GroupConverter implements CommandLine.ITypeConverter<GroupSpec> {
    @Override
    public GroupSpec convert(String text) {
      try {
        return GroupSpec.parse(text);
      } catch (IllegalArgumentException e) {
        throw new CommandLine.TypeConversionException(e.getMessage());
      }
    }
  }

  private static final class DurationConverter implements CommandLine.ITypeConverter<Duration> {
    @Override
    public Duration convert(String text) {
      try {
        return Durations.parse(text);
      } catch (IllegalArgumentException e) {
        throw new CommandLine.TypeConversionException(e.getMessage());
      }
    }
  }
}
