package io.flownexus.leshan.server.rest;

import jakarta.servlet.AsyncContext;
import jakarta.servlet.ServletOutputStream;
import jakarta.servlet.WriteListener;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.function.Consumer;

/** One caller's stream of events: written without blocking, closed when it falls far behind. */
final class EventStream implements WriteListener {

  private static final int BOUND = 10_000;

  private final AsyncContext async;
  private final String endpoint;
  private final Consumer<EventStream> onClose;
  private final ServletOutputStream out;
  private final Deque<byte[]> queue = new ArrayDeque<>();
  private boolean writing; // onWritePossible runs or is due
  private boolean closed;

  EventStream(AsyncContext async, String endpoint, Consumer<EventStream> onClose)
      throws IOException {
    this.async = async;
    this.endpoint = endpoint;
    this.onClose = onClose;
    this.out = async.getResponse().getOutputStream();
  }

  void open() {
    writing = true;
    out.setWriteListener(this);
  }

  /** Return whether the caller asked for one device alone. */
  boolean isOfOneDevice() {
    return endpoint != null;
  }

  /** Return whether the caller wants to hear of a device. */
  boolean wants(String device) {
    return endpoint == null || endpoint.equals(device);
  }

  void event(String name, byte[] json) {
    String text = "event: " + name + "\ndata: " + new String(json, StandardCharsets.UTF_8) + "\n\n";
    enqueue(text.getBytes(StandardCharsets.UTF_8));
  }

  void heartbeat() {
    enqueue(":\n\n".getBytes(StandardCharsets.UTF_8));
  }

  @Override
  public void onWritePossible() throws IOException {
    while (out.isReady()) {
      byte[] next;
      synchronized (this) {
        next = queue.poll();
        if (next == null) {
          writing = false;
          return;
        }
      }
      out.write(next);
      if (out.isReady()) {
        out.flush();
      }
    }
  }

  @Override
  public void onError(Throwable error) {
    close();
  }

  private void enqueue(byte[] text) {
    boolean start;
    synchronized (this) {
      if (closed) {
        return;
      }
      if (queue.size() >= BOUND) {
        queue.clear();
        start = false;
      } else {
        queue.add(text);
        start = !writing;
        writing = true;
        if (!start) {
          return;
        }
      }
    }
    if (start) {
      async.start(this::pump); // never on the thread of a device
    } else {
      close();
    }
  }

  private void pump() {
    try {
      onWritePossible();
    } catch (IOException | RuntimeException e) {
      close();
    }
  }

  /** End the stream, whoever is first to do so. */
  void close() {
    synchronized (this) {
      if (closed) {
        return;
      }
      closed = true;
    }
    onClose.accept(this);
    try {
      async.complete();
    } catch (IllegalStateException e) {
      // the container was first
    }
  }
}
