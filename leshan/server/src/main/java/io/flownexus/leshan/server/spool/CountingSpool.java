package io.flownexus.leshan.server.spool;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.webhook.Batch;
import io.flownexus.leshan.server.webhook.Item;
import io.flownexus.leshan.server.webhook.Lane;
import io.flownexus.leshan.server.webhook.MessageId;
import io.flownexus.leshan.server.webhook.SetAside;
import io.flownexus.leshan.server.webhook.Spool;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.Consumer;

/** Counts items and drops them: nothing ever waits here, so nothing is posted. */
public final class CountingSpool implements Spool {

  private final CounterDataPoint items;

  /** Count into a metric. */
  public CountingSpool(Metrics metrics) {
    items = metrics.spoolCountedItems;
  }

  @Override
  public boolean accepting() {
    return true;
  }

  @Override
  public CompletionStage<Void> append(List<Item> counted, MessageId message) {
    items.inc(counted.size());
    return CompletableFuture.completedFuture(null);
  }

  @Override
  public boolean knows(MessageId message) {
    return false;
  }

  @Override
  public long pending(Lane lane) {
    return 0;
  }

  @Override
  public Batch peek(Lane lane, int maxItems, int maxBytes) {
    return null;
  }

  @Override
  public void remove(Lane lane, long lastSeq) {
    throw new IllegalArgumentException("number %d was not looked at".formatted(lastSeq));
  }

  @Override
  public void setAside(Lane lane, String reason) {
    throw new IllegalStateException("nothing waits");
  }

  @Override
  public List<SetAside> setAside(int limit) {
    return List.of();
  }

  @Override
  public CompletionStage<Integer> postSetAside(int limit) {
    return CompletableFuture.completedFuture(0);
  }

  @Override
  public boolean gave(Lane lane, UUID source, long seq) {
    return false;
  }

  @Override
  public void renewSource(Lane lane) {} // no number is ever given

  @Override
  public long pending() {
    return 0;
  }

  @Override
  public void onAppend(Consumer<Lane> listener) {} // no lane ever gets items
}
