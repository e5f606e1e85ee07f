package io.flownexus.leshan.simulator;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.LongAdder;
import org.eclipse.californium.core.coap.MessageObserverAdapter;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;

/**
 * Follows a device's notifications: the ledger gets the acknowledged ones, and the device sends the
 * next only when none is under way.
 */
final class Notifications {
  private final String endpoint;
  private final JsonLines ledger;
  private final Runnable lost;
  private final AtomicInteger underWay = new AtomicInteger();
  private final AtomicBoolean followed = new AtomicBoolean();
  private final LongAdder acknowledged = new LongAdder();
  private volatile Runnable idle = () -> {};

  /** Call `lost` when a notification was sent in vain until CoAP gave up. */
  Notifications(String endpoint, JsonLines ledger, Runnable lost) {
    this.endpoint = endpoint;
    this.ledger = ledger;
    this.lost = lost;
  }

  /** Call this each time the last of the notifications that were sent has ended. */
  void whenIdle(Runnable action) {
    idle = action;
  }

  boolean areUnderWay() {
    return underWay.get() > 0;
  }

  long acknowledged() {
    return acknowledged.sum();
  }

  /** Forget what is under way: the socket it went through is gone. */
  void reset() {
    underWay.set(0);
  }

  /** Count one more thing to wait for. */
  void begin() {
    underWay.incrementAndGet();
  }

  /** End what `begin` counted. */
  void end() {
    if (underWay.updateAndGet(n -> Math.max(0, n - 1)) == 0 && followed.getAndSet(false)) {
      idle.run();
    }
  }

  /** Follow a notification to its acknowledgement. */
  void follow(Response notification, Map<LwM2mPath, ? extends LwM2mNode> content) {
    begin();
    followed.set(true);
    notification.addMessageObserver(new Follower(notification, content));
  }

  private final class Follower extends MessageObserverAdapter {
    private final Response notification;
    private final Map<LwM2mPath, ? extends LwM2mNode> content;
    private final long began = ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
    private final AtomicBoolean ended = new AtomicBoolean();

    Follower(Response notification, Map<LwM2mPath, ? extends LwM2mNode> content) {
      this.notification = notification;
      this.content = content;
    }

    @Override
    public void onAcknowledgement() {
      long now = System.currentTimeMillis();
      String more = ",\"sent_us\":" + began;
      content.forEach(
          (path, node) ->
              Values.each(
                  path,
                  node,
                  (each, value) ->
                      ledger.add(line(now, each, value, notification.getMID(), more))));
      acknowledged.increment();
      finish();
    }

    @Override
    public void onTimeout() {
      super.onTimeout();
      lost.run();
    }

    @Override
    public void onCancel() {
      finish();
    }

    @Override
    public void onTransferComplete() {
      finish();
    }

    @Override
    protected void failed() {
      finish();
    }

    private void finish() {
      if (ended.compareAndSet(false, true)) {
        end();
      }
    }
  }

  /** Add to the ledger what a Send delivered; `timestamp` is null for a value of now. */
  void sent(LwM2mPath path, Object value, int mid, Long timestamp) {
    String more = ",\"kind\":\"send\"" + (timestamp == null ? "" : ",\"ts\":" + timestamp);
    ledger.add(line(System.currentTimeMillis(), path, value, mid, more));
  }

  private String line(long now, LwM2mPath path, Object value, int mid, String more) {
    return "{\"t\":"
        + now
        + ",\"ep\":"
        + JsonLines.quote(endpoint)
        + ",\"path\":\""
        + path
        + "\",\"value\":"
        + Values.json(value)
        + ",\"mid\":"
        + mid
        + more
        + "}";
  }
}
