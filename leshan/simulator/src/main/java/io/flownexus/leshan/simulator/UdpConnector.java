package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.net.DatagramPacket;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.DatagramChannel;
import org.eclipse.californium.elements.Connector;
import org.eclipse.californium.elements.EndpointContext;
import org.eclipse.californium.elements.EndpointContextMatcher;
import org.eclipse.californium.elements.RawData;
import org.eclipse.californium.elements.RawDataChannel;
import org.eclipse.californium.elements.UdpEndpointContext;
import org.eclipse.californium.elements.util.ClockUtil;

/**
 * Sends and receives a device's datagrams without threads of its own.
 *
 * <p>The socket stays unconnected: an ICMP error of an absent server must look like silence.
 */
final class UdpConnector implements Connector {
  private static final int BUFFER_BYTES = 128 * 1024;

  private final InetSocketAddress bind;
  private final Radio radio;
  private final UdpPoller poller;
  private volatile DatagramChannel channel;
  private volatile InetSocketAddress address;
  private volatile RawDataChannel receiver;
  private volatile EndpointContext peer;

  UdpConnector(InetSocketAddress bind, Radio radio, UdpPoller poller) {
    this.bind = bind;
    this.address = bind;
    this.radio = radio;
    this.poller = poller;
  }

  DatagramChannel channel() {
    return channel;
  }

  @Override
  public synchronized void start() throws IOException {
    if (channel != null) {
      return;
    }
    DatagramChannel opened = DatagramChannel.open();
    opened.configureBlocking(false);
    opened.setOption(StandardSocketOptions.SO_RCVBUF, BUFFER_BYTES);
    opened.bind(bind);
    address = (InetSocketAddress) opened.getLocalAddress();
    channel = opened;
    poller.add(this);
  }

  @Override
  public synchronized void stop() {
    DatagramChannel closing = channel;
    channel = null;
    if (closing != null) {
      try {
        closing.close();
      } catch (IOException e) {
        throw new IllegalStateException("cannot close " + this, e);
      }
      poller.release();
    }
  }

  @Override
  public void destroy() {
    stop();
    receiver = null;
  }

  @Override
  public void send(RawData message) {
    DatagramChannel current = channel;
    if (current == null) {
      message.onError(new InterruptedIOException("device is off"));
      return;
    }
    try {
      message.onContextEstablished(contextOf(message.getInetSocketAddress()));
      if (radio.isOn()) {
        // A full send buffer drops the datagram, as a network would.
        current.send(ByteBuffer.wrap(message.getBytes()), message.getInetSocketAddress());
      }
      message.onSent();
    } catch (IOException e) {
      message.onError(e);
    }
  }

  /** Take all datagrams that wait; those that come while the radio is off are lost. */
  void receive(DatagramChannel from, ByteBuffer buffer) throws IOException {
    while (true) {
      buffer.clear();
      InetSocketAddress source = (InetSocketAddress) from.receive(buffer);
      if (source == null) {
        return;
      }
      RawDataChannel target = receiver;
      if (target != null && radio.isOn()) {
        byte[] bytes = new byte[buffer.flip().remaining()];
        buffer.get(bytes);
        target.receiveData(
            RawData.inbound(bytes, contextOf(source), false, ClockUtil.nanoRealtime(), address));
      }
    }
  }

  /** A device talks to one server: keep its context rather than make one a datagram. */
  private EndpointContext contextOf(InetSocketAddress socket) {
    EndpointContext known = peer;
    if (known == null || !known.getPeerAddress().equals(socket)) {
      known = new UdpEndpointContext(socket);
      peer = known;
    }
    return known;
  }

  @Override
  public void processDatagram(DatagramPacket datagram) {
    throw new UnsupportedOperationException("datagrams come from the poller");
  }

  @Override
  public void setRawDataReceiver(RawDataChannel messageHandler) {
    receiver = messageHandler;
  }

  @Override
  public void setEndpointContextMatcher(EndpointContextMatcher matcher) {
    // Plain UDP has nothing to match but the address.
  }

  @Override
  public InetSocketAddress getAddress() {
    return address;
  }

  @Override
  public String getProtocol() {
    return "UDP";
  }

  @Override
  public boolean isRunning() {
    return channel != null;
  }

  @Override
  public String toString() {
    return "UDP-" + address;
  }
}
