package io.flownexus.leshan.simulator;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.LongAdder;
import org.eclipse.californium.core.coap.MessageObserverAdapter;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.observe.ObserveRelation;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;

/**
 * Follows a device's notifications: the ledger gets the acknowledged ones, another file the others,
 * and the device sends the next only when none is under way.
 */
final class Notifications {
  private final String endpoint;
  private final JsonLines ledger;
  private final JsonLines unacknowledged;
  private final Runnable lost;
  private final Set<Follower> followers = ConcurrentHashMap.newKeySet();
  private final AtomicInteger underWay = new AtomicInteger();
  private final AtomicBoolean followed = new AtomicBoolean();
  private final LongAdder acknowledged = new LongAdder();
  private volatile Runnable idle = () -> {};

  /** Call `lost` when a notification was sent in vain until CoAP gave up. */
  Notifications(String endpoint, JsonLines ledger, JsonLines unacknowledged, Runnable lost) {
    this.endpoint = endpoint;
    this.ledger = ledger;
    this.unacknowledged = unacknowledged;
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

  /** Forget what is under way: nobody will acknowledge it any more. */
  void reset(String why) {
    underWay.set(0);
    followed.set(false);
    List.copyOf(followers).forEach(follower -> follower.finish(why));
  }

  /**
   * Forget what is under way of an observation that is over: its acknowledgement would be ignored.
   */
  void forget(ObserveRelation observation) {
    for (Follower follower : List.copyOf(followers)) {
      if (follower.observation == observation) {
        follower.finish("the observation is over");
      }
    }
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
  void follow(
      ObserveRelation observation,
      Response notification,
      Map<LwM2mPath, ? extends LwM2mNode> content) {
    begin();
    followed.set(true);
    Follower follower = new Follower(observation, notification, content);
    followers.add(follower);
    notification.addMessageObserver(follower);
  }

  private final class Follower extends MessageObserverAdapter {
    private final ObserveRelation observation;
    private final Response notification;
    private final Map<LwM2mPath, ? extends LwM2mNode> content;
    private final long began = ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
    private final AtomicBoolean ended = new AtomicBoolean();
    private volatile boolean sent;

    Follower(
        ObserveRelation observation,
        Response notification,
        Map<LwM2mPath, ? extends LwM2mNode> content) {
      this.observation = observation;
      this.notification = notification;
      this.content = content;
    }

    @Override
    public void onAcknowledgement() {
      write(ledger, "");
      acknowledged.increment();
      finish(null);
    }

    @Override
    public void onTimeout() {
      finish("timed out");
      lost.run();
    }

    @Override
    public void onReject() {
      finish("rejected");
    }

    @Override
    public void onCancel() {
      finish("cancelled");
    }

    @Override
    public void onReadyToSend() {
      sent = true;
    }

    /** One that was sent is complete when it is acknowledged; one that was not never will be. */
    @Override
    public void onTransferComplete() {
      if (!sent) {
        finish("a fresher one was sent instead");
      }
    }

    @Override
    protected void failed() {
      finish("failed");
    }

    /** End, once; `why` is null for an acknowledgement. */
    private void finish(String why) {
      if (!ended.compareAndSet(false, true)) {
        return;
      }
      followers.remove(this);
      if (why != null) {
        write(unacknowledged, ended(why));
      }
      end();
    }

    private void write(JsonLines file, String why) {
      long now = System.currentTimeMillis();
      String more = ",\"sent_us\":" + began + why;
      content.forEach(
          (path, node) ->
              Values.each(
                  path,
                  node,
                  (each, value) -> file.add(line(now, each, value, notification.getMID(), more))));
    }
  }

  /**
   * Write down what a Send brought.
   *
   * @param timestamp null for a value of now
   * @param why it was not acknowledged; null if it was
   */
  void sent(LwM2mPath path, Object value, int mid, Long timestamp, String why) {
    String more = ",\"kind\":\"send\"" + (timestamp == null ? "" : ",\"ts\":" + timestamp);
    JsonLines file = why == null ? ledger : unacknowledged;
    file.add(
        line(System.currentTimeMillis(), path, value, mid, why == null ? more : more + ended(why)));
  }

  private static String ended(String why) {
    return ",\"ended\":" + JsonLines.quote(why);
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
