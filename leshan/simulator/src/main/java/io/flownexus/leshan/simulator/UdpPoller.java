package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.CancelledKeyException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.DatagramChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Receives for the sockets of all devices on one thread. */
final class UdpPoller implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(UdpPoller.class);

  private final Selector selector;
  private final Queue<UdpConnector> joining = new ConcurrentLinkedQueue<>();
  private final ByteBuffer buffer = ByteBuffer.allocateDirect(65536);

  UdpPoller() throws IOException {
    selector = Selector.open();
    Thread thread = new Thread(this::run, "udp-poller");
    thread.setDaemon(true);
    thread.start();
  }

  /** Receive for a connector from now on, until its channel is closed. */
  void add(UdpConnector connector) {
    joining.add(connector);
    selector.wakeup();
  }

  /** Let go of channels that were closed. */
  void release() {
    selector.wakeup();
  }

  private void run() {
    while (selector.isOpen()) {
      try {
        selector.select(this::receive);
        for (UdpConnector next = joining.poll(); next != null; next = joining.poll()) {
          register(next);
        }
      } catch (ClosedSelectorException e) {
        return;
      } catch (IOException | RuntimeException e) {
        LOG.error("receiving failed", e);
      }
    }
  }

  private void register(UdpConnector connector) throws IOException {
    DatagramChannel channel = connector.channel();
    if (channel == null) {
      return;
    }
    try {
      channel.register(selector, SelectionKey.OP_READ, connector);
    } catch (ClosedChannelException e) {
      LOG.debug("{} closed before it was polled", connector);
    }
  }

  private void receive(SelectionKey key) {
    try {
      ((UdpConnector) key.attachment()).receive((DatagramChannel) key.channel(), buffer);
    } catch (ClosedChannelException | CancelledKeyException e) {
      key.cancel();
    } catch (IOException | RuntimeException e) {
      LOG.warn("receiving for {} failed: {}", key.attachment(), e.toString());
    }
  }

  @Override
  public void close() throws IOException {
    selector.close();
  }
}
