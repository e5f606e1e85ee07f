package io.flownexus.leshan.server.webhook;

import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletionStage;
import java.util.function.Consumer;

/** Keeps items by lane, in order and numbered, from their arrival until a function has them. */
public interface Spool {

  /** Return whether there is room for another device's data; devices are refused when not. */
  boolean accepting();

  /**
   * Number and keep items, all or none.
   *
   * <p>The stage completes when they are as safe as this spool makes them. Never blocks; room is
   * asked for with {@link #accepting()} before data is taken from a device. With the message that
   * brought them, its retransmissions are known, and the stage fails when they cannot be kept;
   * without one, for nobody would send them again, they wait until they can.
   */
  CompletionStage<Void> append(List<Item> items, MessageId message);

  /** Return whether an earlier life of this spool has kept what this message brings. */
  boolean knows(MessageId message);

  /** Return how many items of a lane wait. */
  long pending(Lane lane);

  /**
   * Return the oldest items of a lane, of one source, at least one, at most so many items and
   * bytes; or null.
   */
  Batch peek(Lane lane, int maxItems, int maxBytes);

  /** Forget a lane's items up to and including this number of the oldest: a function has them. */
  void remove(Lane lane, long lastSeq);

  /** Move a lane's oldest item, that its function will never take, out of the way. */
  void setAside(Lane lane, String reason);

  /** Return items that were set aside, the oldest of them, at most so many. */
  List<SetAside> setAside(int limit);

  /**
   * Append items that were set aside to their lanes again, the oldest of them, at most so many.
   *
   * <p>The stage completes with their number when they are as safe as before.
   */
  CompletionStage<Integer> postSetAside(int limit);

  /** Return whether a lane may have given a number of a source: of an earlier life's, any. */
  boolean gave(Lane lane, UUID source, long seq);

  /** Give a lane a new source, for the functions know its numbers from another life. */
  void renewSource(Lane lane);

  /** Return how many items wait, set aside ones not counted. */
  long pending();

  /** Name the listener that is told of each lane that got items. */
  void onAppend(Consumer<Lane> listener);
}
