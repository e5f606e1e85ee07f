package io.flownexus.leshan.server.spool;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/** Tells the journal's thread when to commit; any thread may ask for it. */
final class CommitSchedule {

  private static final long TICK = TimeUnit.SECONDS.toNanos(1);
  private static final long SOON = TimeUnit.MILLISECONDS.toNanos(100);
  private static final long RETRY = TimeUnit.MILLISECONDS.toNanos(500);
  // After a large group more is on its way: gathering it for a moment makes larger groups.
  private static final int BUSY = 8;
  private static final long LINGER = TimeUnit.MILLISECONDS.toNanos(2);

  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private long due = System.nanoTime();
  private long notBefore = due; // the journal's thread only
  private boolean closed;

  /** Commit at once. */
  void wake() {
    wake(System.nanoTime());
  }

  /** Commit with what comes next, or in a while. */
  void wakeSoon() {
    wake(System.nanoTime() + SOON);
  }

  private void wake(long when) {
    lock.lock();
    try {
      if (when - due < 0) {
        due = when;
        changed.signal();
      }
    } finally {
      lock.unlock();
    }
  }

  /** Wait until a commit is due; false when there is only the last one to do. */
  boolean awaitDue() throws InterruptedException {
    lock.lock();
    try {
      while (!closed) {
        long now = System.nanoTime();
        long left = Math.max(due - now, notBefore - now);
        if (left <= 0) {
          due = now + TICK;
          return true;
        }
        changed.awaitNanos(left);
      }
      return false;
    } finally {
      lock.unlock();
    }
  }

  /** Hear from the journal's thread of a commit of so many items. */
  void committed(int items) {
    notBefore = System.nanoTime() + (items >= BUSY ? LINGER : 0);
  }

  /** Hear from the journal's thread of a commit that failed. */
  void failed() {
    notBefore = System.nanoTime() + RETRY;
  }

  /** Wait no longer. */
  void close() {
    lock.lock();
    try {
      closed = true;
      changed.signal();
    } finally {
      lock.unlock();
    }
  }
}
