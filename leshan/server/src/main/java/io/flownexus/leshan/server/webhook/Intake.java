package io.flownexus.leshan.server.webhook;

import io.flownexus.leshan.server.codec.UnreadableException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.Consumer;

/**
 * A message on its way from the device through this thread, and what its answer waits for.
 *
 * <p>Who keeps something of the message says when that is safe; who answers it holds the answer
 * back until all of it is.
 */
public final class Intake {

  private static final ThreadLocal<Intake> CURRENT = new ThreadLocal<>();

  private final MessageId message;
  private final List<Consumer<Throwable>> held = new ArrayList<>(1);
  private CompletableFuture<Void> safe;
  private UnreadableException unreadable;

  private Intake(MessageId message) {
    this.message = message;
  }

  /** Run the delivery of a message, then, once all that was kept of it is safe, the held answer. */
  public static void deliver(MessageId message, Runnable delivery, Consumer<Throwable> answer) {
    Intake intake = new Intake(message);
    CURRENT.set(intake);
    try {
      delivery.run();
    } finally {
      CURRENT.remove();
    }
    intake.held.add(answer);
    if (intake.safe == null) {
      intake.settle(null);
    } else {
      intake.safe.whenComplete((done, error) -> intake.settle(error));
    }
  }

  /** Return the message that this thread delivers, or null. */
  public static MessageId message() {
    Intake intake = CURRENT.get();
    return intake == null ? null : intake.message;
  }

  /**
   * Note what cannot be read of the message that this thread delivers; false when there is none.
   */
  public static boolean note(UnreadableException unreadable) {
    Intake intake = CURRENT.get();
    if (intake == null) {
      return false;
    }
    intake.unreadable = unreadable;
    return true;
  }

  /** Return what was noted of the message that this thread delivers, or null. */
  static UnreadableException unreadable() {
    Intake intake = CURRENT.get();
    return intake == null ? null : intake.unreadable;
  }

  /** Let the answer to the message that this thread delivers, if any, wait for a stage. */
  public static void await(CompletionStage<Void> stage) {
    Intake intake = CURRENT.get();
    if (intake != null) {
      CompletableFuture<Void> future = stage.toCompletableFuture();
      intake.safe =
          intake.safe == null ? future : intake.safe.thenCombine(future, (one, other) -> null);
    }
  }

  /** Hold an answer back, which is told of the error, if any; false when nothing is delivered. */
  public static boolean hold(Consumer<Throwable> answer) {
    Intake intake = CURRENT.get();
    if (intake == null) {
      return false;
    }
    intake.held.add(answer);
    return true;
  }

  private void settle(Throwable error) {
    held.forEach(answer -> answer.accept(error));
  }
}
