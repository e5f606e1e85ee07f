package io.flownexus.leshan.server.base;

import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.LongSupplier;

/** Counts what happens and tells it in Prometheus' text format. */
public final class Metrics {

  private static final String PREFIX = "flownexus_leshan_";

  private record Family(String type, String help, Map<String, LongSupplier> samples) {}

  private final Map<String, Family> families = new ConcurrentSkipListMap<>();

  /** Return a new counter; labels as Prometheus writes them, such as {@code kind="single"}. */
  public LongAdder counter(String name, String labels, String help) {
    LongAdder counter = new LongAdder();
    add(name, "counter", labels, help, counter::sum);
    return counter;
  }

  /** Show what a supplier returns. */
  public void gauge(String name, String labels, String help, LongSupplier value) {
    add(name, "gauge", labels, help, value);
  }

  /** Return all metrics as text. */
  public String text() {
    StringBuilder text = new StringBuilder(4096);
    families.forEach(
        (name, family) -> {
          text.append("# HELP ").append(name).append(' ').append(family.help).append('\n');
          text.append("# TYPE ").append(name).append(' ').append(family.type).append('\n');
          family.samples.forEach(
              (labels, value) -> {
                text.append(name);
                if (!labels.isEmpty()) {
                  text.append('{').append(labels).append('}');
                }
                text.append(' ').append(value.getAsLong()).append('\n');
              });
        });
    return text.toString();
  }

  private void add(String name, String type, String labels, String help, LongSupplier value) {
    families
        .computeIfAbsent(
            PREFIX + name, key -> new Family(type, help, new ConcurrentSkipListMap<>()))
        .samples
        .put(labels, value);
  }
}
