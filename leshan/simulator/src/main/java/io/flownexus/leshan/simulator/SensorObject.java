package io.flownexus.leshan.simulator;

import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.eclipse.leshan.client.servers.LwM2mServer;
import org.eclipse.leshan.core.request.argument.Arguments;
import org.eclipse.leshan.core.response.ExecuteResponse;

/** Simulates one of IPSO's sensors: a value that drifts, the least and the greatest so far. */
abstract class SensorObject extends SimulatedObject {
  private static final int VALUE = 5700;
  private static final int MIN = 5601;
  private static final int MAX = 5602;
  private static final int RANGE_MIN = 5603;
  private static final int RANGE_MAX = 5604;
  private static final int RESET = 5605;
  private static final int UNIT = 5701;
  private static final int APPLICATION = 5750;
  private static final long COUNTS_PER_HUNDREDTH = 100_000_000L;

  private final Drift drift;
  private final SplittableRandom random;
  private long hundredths;
  private long count;

  /**
   * Says where a value begins and how far it drifts, in hundredths of its unit.
   *
   * @param spread the value begins less than this above `from`
   */
  record Drift(int from, int spread, int least, int greatest) {}

  SensorObject(long seed, Drift drift, double rangeMin, double rangeMax, String unit) {
    this.drift = drift;
    random = new SplittableRandom(seed);
    hundredths = drift.from + random.nextInt(drift.spread);
    double value = next();
    put(VALUE, value);
    put(MIN, value);
    put(MAX, value);
    put(RANGE_MIN, rangeMin);
    put(RANGE_MAX, rangeMax);
    put(UNIT, unit);
    put(APPLICATION, "");
  }

  /** Hundredths drift; the decimals below them count, so that no two values are alike. */
  private double next() {
    hundredths =
        Math.max(drift.least, Math.min(drift.greatest, hundredths + random.nextInt(-5, 6)));
    count = (count + 1) % COUNTS_PER_HUNDREDTH;
    return (hundredths * COUNTS_PER_HUNDREDTH + count) / (100.0 * COUNTS_PER_HUNDREDTH);
  }

  @Override
  final void drift() {
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
  final void refresh() {
    put(VALUE, next());
  }

  @Override
  public final ExecuteResponse execute(LwM2mServer server, int resource, Arguments arguments) {
    if (resource != RESET) {
      return ExecuteResponse.notFound();
    }
    change(Map.of(MIN, value(VALUE), MAX, value(VALUE)));
    return ExecuteResponse.success();
  }

  @Override
  final List<Integer> executable() {
    return List.of(RESET);
  }
}
