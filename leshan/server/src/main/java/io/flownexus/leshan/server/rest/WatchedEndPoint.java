package io.flownexus.leshan.server.rest;

import jakarta.servlet.http.HttpServletRequest;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import java.util.concurrent.Executor;
import org.eclipse.jetty.ee10.servlet.ServletContextRequest;
import org.eclipse.jetty.io.ManagedSelector;
import org.eclipse.jetty.io.SocketChannelEndPoint;
import org.eclipse.jetty.util.BufferUtil;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.util.thread.Scheduler;

/**
 * A connection that notices while a request waits that its caller is gone.
 *
 * <p>HTTP/1.1 reads nothing between a request and its response, so Jetty would learn of it only
 * when it writes. Here a probe reads meanwhile: the end of the stream means that nobody waits;
 * bytes of a next request are kept for the HTTP parser, in order. The probe gives way as soon as
 * the HTTP connection wants to read itself.
 */
final class WatchedEndPoint extends SocketChannelEndPoint {

  private static final int PROBE_BYTES = 1024;

  private final Executor executor;
  private final long idleBetweenRequests;
  private final Callback probe = Callback.from(this::readable, this::failed);

  // All guarded by this.
  private boolean probing; // the probe is registered for the next readiness
  private Callback reader; // of the HTTP connection, to be called in the probe's place
  private Runnable gone; // what to do when the caller is gone
  private ByteBuffer early; // bytes that the probe read
  private boolean serving; // a request whose head has come
  private boolean headBegun = true; // the first is due from the start
  private long headSince = System.nanoTime();

  WatchedEndPoint(
      SocketChannel channel,
      ManagedSelector selector,
      SelectionKey key,
      Scheduler scheduler,
      Executor executor,
      long idleMillis) {
    super(channel, selector, key, scheduler);
    this.executor = executor;
    idleBetweenRequests = idleMillis;
    setIdleTimeout(idleMillis);
  }

  /**
   * Call back, once at most, when the caller of an asynchronous request is gone.
   *
   * <p>The connection may be idle for this long meanwhile.
   */
  static void watch(HttpServletRequest request, long idleMillis, Runnable gone) {
    ServletContextRequest core = ServletContextRequest.getServletContextRequest(request);
    if (core.getConnectionMetaData().getConnection().getEndPoint()
        instanceof WatchedEndPoint endPoint) {
      endPoint.watch(idleMillis, gone);
    }
  }

  private synchronized void watch(long idleMillis, Runnable whenGone) {
    setIdleTimeout(Math.max(idleMillis, idleBetweenRequests));
    gone = whenGone;
    if (!probing && early == null) {
      probing = super.tryFillInterested(probe);
    }
  }

  /** Say that a request's head has come, and that it is served from now on. */
  synchronized void served() {
    serving = true;
    headBegun = false;
  }

  /** Say that a request is over; the next one's head may take its time from its first byte on. */
  synchronized void over() {
    serving = false;
  }

  /** Close the connection if a head has been coming for longer than this. */
  void closeIfHeadTakes(long nanos) {
    synchronized (this) {
      if (!headBegun || System.nanoTime() - headSince < nanos) {
        return;
      }
    }
    close();
  }

  @Override
  public synchronized int fill(ByteBuffer buffer) throws IOException {
    int filled = fillFromAny(buffer);
    if (filled > 0 && !serving && !headBegun) {
      headBegun = true;
      headSince = System.nanoTime();
    }
    return filled;
  }

  private int fillFromAny(ByteBuffer buffer) throws IOException {
    if (early == null) {
      return super.fill(buffer);
    }
    int position = BufferUtil.flipToFill(buffer);
    int filled = BufferUtil.put(early, buffer);
    BufferUtil.flipToFlush(buffer, position);
    if (!early.hasRemaining()) {
      early = null;
    }
    return filled;
  }

  @Override
  public void fillInterested(Callback callback) {
    if (!tryFillInterested(callback)) {
      super.fillInterested(callback); // throws what it has to
    }
  }

  @Override
  public boolean tryFillInterested(Callback callback) {
    synchronized (this) {
      gone = null; // the request is over
      setIdleTimeout(idleBetweenRequests);
      if (early == null) {
        if (!probing) {
          return super.tryFillInterested(callback);
        }
        if (reader != null) {
          return false;
        }
        reader = callback;
        return true;
      }
    }
    executor.execute(callback::succeeded);
    return true;
  }

  @Override
  public synchronized boolean isFillInterested() {
    return probing ? reader != null : super.isFillInterested();
  }

  private void readable() {
    Runnable next;
    synchronized (this) {
      next = giveWay() ? takeReader()::succeeded : probe();
    }
    if (next != null) {
      next.run();
    }
  }

  private void failed(Throwable failure) {
    Runnable next;
    synchronized (this) {
      if (giveWay()) {
        Callback callback = takeReader();
        next = () -> callback.failed(failure);
      } else {
        next = gone;
        gone = null;
      }
    }
    if (next != null) {
      next.run();
    }
  }

  private boolean giveWay() {
    probing = false;
    return reader != null;
  }

  private Callback takeReader() {
    Callback callback = reader;
    reader = null;
    return callback;
  }

  // Returns what to do about it, outside the lock.
  private Runnable probe() {
    if (gone == null) {
      return null; // the request is just over: the HTTP connection reads on
    }
    ByteBuffer buffer = BufferUtil.allocate(PROBE_BYTES);
    int filled;
    try {
      filled = super.fill(buffer);
    } catch (IOException e) {
      filled = -1;
    }
    if (filled < 0) {
      Runnable next = gone;
      gone = null;
      return next;
    }
    if (filled > 0) {
      early = buffer;
    } else {
      probing = super.tryFillInterested(probe);
    }
    return null;
  }
}
