package io.flownexus.leshan.simulator;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.eclipse.californium.core.coap.MessageObserverAdapter;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.observe.ObserveRelation;
import org.eclipse.leshan.core.node.LwM2mNode;
import org.eclipse.leshan.core.node.LwM2mPath;

/** Follows a device's notifications to their end, and writes it in the ledger. */
final class Notifications {
  private final DeviceExecutor executor;
  private final Ledger ledger;
  private final Runnable lost;
  private final Set<Follower> followers = new HashSet<>();
  private Runnable idle = () -> {};
  private int changes;
  private boolean followed;
  private long acknowledged;

  /** Call `lost` when a notification was sent in vain until CoAP gave up. */
  Notifications(DeviceExecutor executor, Ledger ledger, Runnable lost) {
    this.executor = executor;
    this.ledger = ledger;
    this.lost = lost;
  }

  /** Call this each time the last of the notifications that were sent has ended. */
  void whenIdle(Runnable action) {
    idle = action;
  }

  boolean areUnderWay() {
    return changes > 0 || !followers.isEmpty();
  }

  long acknowledged() {
    return acknowledged;
  }

  /** Forget what is under way: nobody will acknowledge it any more. */
  void reset(String why) {
    followed = false;
    List.copyOf(followers).forEach(follower -> follower.finish(why));
  }

  /**
   * Forget what is under way of an observation that is over: its acknowledgement would be ignored.
   * Any thread may call this.
   */
  void forget(ObserveRelation observation) {
    executor.execute(
        () -> {
          for (Follower follower : List.copyOf(followers)) {
            if (follower.observation == observation) {
              follower.finish("the observation is over");
            }
          }
        });
  }

  /** Notify of a change later, on the executor: a request that makes it is answered first. */
  void changed(Runnable notifying) {
    assert executor.isCurrent();
    changes++;
    executor.execute(
        () -> {
          try {
            notifying.run();
          } finally {
            changes--;
            whenOver();
          }
        });
  }

  private void whenOver() {
    if (followed && !areUnderWay()) {
      followed = false;
      idle.run();
    }
  }

  /** Follow a notification to its acknowledgement. */
  void follow(
      ObserveRelation observation,
      Response notification,
      Map<LwM2mPath, ? extends LwM2mNode> content) {
    assert executor.isCurrent();
    followed = true;
    Follower follower = new Follower(observation, notification, content);
    followers.add(follower);
    notification.addMessageObserver(follower);
  }

  /** Is told by CoAP, on any thread, what becomes of a notification. */
  private final class Follower extends MessageObserverAdapter {
    private final ObserveRelation observation;
    private final Response notification;
    private final Map<LwM2mPath, ? extends LwM2mNode> content;
    private final long beganUs = ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
    private boolean ended;
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
      executor.dispatch(
          () -> {
            String more = more();
            content.forEach(
                (path, node) -> ledger.acknowledged(path, node, notification.getMID(), more));
            acknowledged++;
            finish(null);
          });
    }

    @Override
    public void onTimeout() {
      executor.dispatch(
          () -> {
            finish("timed out");
            lost.run();
          });
    }

    @Override
    public void onReject() {
      end("rejected");
    }

    @Override
    public void onCancel() {
      end("cancelled");
    }

    @Override
    public void onReadyToSend() {
      sent = true;
    }

    /** One that was sent is complete when it is acknowledged; one that was not never will be. */
    @Override
    public void onTransferComplete() {
      if (!sent) {
        end("a fresher one was sent instead");
      }
    }

    @Override
    protected void failed() {
      end("failed");
    }

    private void end(String why) {
      executor.dispatch(() -> finish(why));
    }

    /** End, once; `why` is null for an acknowledgement. */
    private void finish(String why) {
      if (ended) {
        return;
      }
      ended = true;
      followers.remove(this);
      if (why != null) {
        String more = more();
        content.forEach(
            (path, node) -> ledger.unacknowledged(path, node, notification.getMID(), more, why));
      }
      whenOver();
    }

    private String more() {
      return "\"sent_us\":" + beganUs;
    }
  }
}
