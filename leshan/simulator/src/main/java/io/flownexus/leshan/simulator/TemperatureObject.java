package io.flownexus.leshan.simulator;

import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;

/** Simulates object 3303: a temperature that drifts. */
final class TemperatureObject extends SimulatedObject {
  static final int VALUE = 5700;
  private static final int MIN = 5601;
  private static final int MAX = 5602;
  private static final int RESET = 5605;
  private static final long COUNTS_PER_HUNDREDTH = 100_000_000L;

  private final SplittableRandom random;
  private long hundredths;
  private long count;

  TemperatureObject(long seed) {
    random = new SplittableRandom(seed);
    hundredths = 1800 + random.nextInt(800);
    double value = next();
    put(VALUE, value);
    put(MIN, value);
    put(MAX, value);
    put(5603, -40.0);
    put(5604, 85.0);
    put(5701, "Cel");
    put(5750, "");
  }

  /**
   * Drift to the next value, without showing it.
   *
   * <p>Hundredths of a degree drift; the decimals below them count, so that of one device no two
   * values are alike.
   */
  synchronized double next() {
    hundredths = Math.max(-2000, Math.min(6000, hundredths + random.nextInt(-5, 6)));
    count = (count + 1) % COUNTS_PER_HUNDREDTH;
    return (hundredths * COUNTS_PER_HUNDREDTH + count) / (100.0 * COUNTS_PER_HUNDREDTH);
  }

  /** Drift, and notify those who observe. */
  void drift() {
    double value = next();
    Map<Integer, Object> changed = new TreeMap<>();
    changed.put(VALUE, value);
    if (value < (double) value(MIN)) {
      changed.put(MIN, value);
    }
    if (value > (double) value(MAX)) {
      changed.put(MAX, value);
    }
    change(changed);
  }

  @Override
  public ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
    if (resource != RESET) {
      return ExecuteResponse.notFound();
    }
    change(Map.of(MIN, value(VALUE), MAX, value(VALUE)));
    return ExecuteResponse.success();
  }

  @Override
  List<Integer> executable() {
    return List.of(RESET);
  }
}
