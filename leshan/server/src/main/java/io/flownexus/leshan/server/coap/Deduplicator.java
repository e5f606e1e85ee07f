package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.base.Metrics;
import io.prometheus.metrics.core.datapoints.CounterDataPoint;
import java.net.InetSocketAddress;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.EmptyMessage;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.coap.Token;
import org.eclipse.californium.core.network.CoapEndpoint;
import org.eclipse.californium.core.network.serialization.DataSerializer;
import org.eclipse.californium.core.network.serialization.UdpDataSerializer;
import org.eclipse.californium.elements.RawData;

/**
 * Knows messages that come again (RFC 7252, 4.5), in place of Californium's deduplication, which
 * keeps whole exchanges.
 *
 * <p>It sees each message before anything else does, and each answer as it leaves. What is repeated
 * before its answer is dropped; afterwards a notification is acknowledged again, and a request gets
 * the code of its response, a registration with its location: these have no payload. Refusals, and
 * responses with a payload, are not remembered: such a request is harmless anew. So a peer that is
 * refused leaves nothing behind.
 */
final class Deduplicator extends InterceptorAdapter {

  private static final int MAX_PEERS = 100_000;
  private static final int MAX_ENTRIES = 1 << 23; // 64 MB
  private static final int SWEEP_S = 10;

  private final Map<InetSocketAddress, MessageRing> peers = new ConcurrentHashMap<>();
  private final AtomicInteger entries = new AtomicInteger();
  private final AtomicInteger swept = new AtomicInteger();
  private final DataSerializer serializer = new UdpDataSerializer();
  private final CounterDataPoint repeated;
  private final CounterDataPoint unremembered;
  private volatile CoapEndpoint endpoint;

  /** Begin to remember; the protocol is a label of the metrics. */
  Deduplicator(String protocol, Metrics metrics) {
    repeated = metrics.repeatedMessages(protocol);
    unremembered = metrics.unrememberedMessages(protocol);
    metrics.showRememberedPeers(protocol, peers::size);
  }

  /** Look at what an endpoint receives and sends from now on. */
  void attach(CoapEndpoint attached) {
    endpoint = attached;
    attached.addInterceptor(this);
    attached.addPostProcessInterceptor(new ForgetUntaken());
  }

  /** Take a message for one that never came: it is looked at anew when it comes again. */
  void forget(Message received) {
    InetSocketAddress peer = received.getSourceContext().getPeerAddress();
    forget(peer, received.getMID());
  }

  @Override
  public void receiveRequest(Request request) {
    int state = take(request);
    if (state == MessageRing.NEW) {
      return;
    }
    request.setCanceled(true);
    if (request.getType() != Type.CON || state == MessageRing.PENDING) {
      return;
    }
    if (state == MessageRing.ACKNOWLEDGED) {
      acknowledge(request);
    } else {
      respond(request, ResponseCode.valueOf(state));
    }
  }

  @Override
  public void receiveResponse(Response response) {
    if (response.isCanceled() || response.getType() == Type.ACK) {
      return; // refused before; or piggybacked, which is not sent by itself again
    }
    int state = take(response);
    if (state == MessageRing.NEW) {
      return;
    }
    response.setCanceled(true);
    if (response.getType() == Type.CON && state == MessageRing.ACKNOWLEDGED) {
      acknowledge(response);
    }
  }

  @Override
  public void sendResponse(Response response) {
    InetSocketAddress peer = response.getDestinationContext().getPeerAddress();
    boolean kept =
        response.isSuccess() && response.getPayloadSize() == 0 || response.getOptions().hasBlock1();
    if (response.getType() != Type.ACK) {
      if (!kept) {
        forgetToken(peer, response.getToken());
      }
    } else if (kept) {
      settle(peer, response);
    } else {
      forget(peer, response.getMID());
    }
  }

  @Override
  public void sendEmptyMessage(EmptyMessage message) {
    InetSocketAddress peer = message.getDestinationContext().getPeerAddress();
    if (message.getType() == Type.ACK) {
      MessageRing ring = peers.get(peer);
      if (ring != null) {
        synchronized (ring) {
          ring.settle(message.getMID(), MessageRing.ACKNOWLEDGED);
        }
      }
    } else if (message.getType() == Type.RST) {
      forget(peer, message.getMID());
    }
  }

  private int take(Message message) {
    InetSocketAddress peer = message.getSourceContext().getPeerAddress();
    int second = second();
    sweep(second);
    while (true) {
      MessageRing ring = peers.get(peer);
      if (ring == null) {
        if (peers.size() >= MAX_PEERS) {
          unremembered.inc();
          return MessageRing.NEW;
        }
        MessageRing added = new MessageRing();
        ring = peers.putIfAbsent(peer, added);
        if (ring == null) {
          ring = added;
          entries.addAndGet(added.capacity());
        }
      }
      synchronized (ring) {
        if (!ring.isRemoved()) {
          int before = ring.capacity();
          int room = MAX_ENTRIES - entries.get();
          int state = ring.take(message.getMID(), hash(message.getToken()), second, room);
          if (ring.capacity() != before) {
            entries.addAndGet(ring.capacity() - before);
          }
          if (state != MessageRing.NEW) {
            repeated.inc();
          }
          return state;
        }
      }
    }
  }

  private void settle(InetSocketAddress peer, Response response) {
    MessageRing ring = peers.get(peer);
    if (ring == null) {
      return;
    }
    synchronized (ring) {
      ring.settle(response.getMID(), response.getRawCode());
      if (response.getCode() == ResponseCode.CREATED) {
        String location = response.getOptions().getLocationPathString();
        ring.created(response.getMID(), hash(response.getToken()), location);
      }
    }
  }

  private void forget(InetSocketAddress peer, int mid) {
    MessageRing ring = peers.get(peer);
    if (ring != null) {
      synchronized (ring) {
        ring.forget(mid);
        removeIfOver(peer, ring, second());
      }
    }
  }

  private void forgetToken(InetSocketAddress peer, Token token) {
    MessageRing ring = peers.get(peer);
    if (ring != null) {
      synchronized (ring) {
        ring.forgetToken(hash(token));
        removeIfOver(peer, ring, second());
      }
    }
  }

  // The ring's lock is held.
  private void removeIfOver(InetSocketAddress peer, MessageRing ring, int second) {
    if (ring.isOver(second) && !ring.isRemoved()) {
      ring.remove();
      peers.remove(peer, ring);
      entries.addAndGet(-ring.capacity());
    }
  }

  private void sweep(int second) {
    int last = swept.get();
    if (second - last < SWEEP_S || !swept.compareAndSet(last, second)) {
      return;
    }
    peers.forEach(
        (peer, ring) -> {
          synchronized (ring) {
            removeIfOver(peer, ring, second);
          }
        });
  }

  private void acknowledge(Message message) {
    send(serializer.serializeEmptyMessage(EmptyMessage.newACK(message)));
  }

  private void respond(Request request, ResponseCode code) {
    Response again = new Response(code);
    again.setType(Type.ACK);
    again.setMID(request.getMID());
    again.setToken(request.getToken());
    again.setDestinationContext(request.getSourceContext());
    again.getOptions().setBlock1(request.getOptions().getBlock1());
    if (code == ResponseCode.CREATED) {
      String location = location(request);
      if (location == null) {
        return; // of a registration that a later one of the same device has replaced
      }
      again.getOptions().setLocationPath(location);
    }
    send(serializer.serializeResponse(again));
  }

  private String location(Request request) {
    MessageRing ring = peers.get(request.getSourceContext().getPeerAddress());
    if (ring == null) {
      return null;
    }
    synchronized (ring) {
      return ring.location(request.getMID(), hash(request.getToken()));
    }
  }

  private void send(RawData data) {
    endpoint.getConnector().send(data);
  }

  private static int hash(Token token) {
    int hash = token.hashCode() * 0x9E3779B9;
    return hash ^ hash >>> 15;
  }

  private static int second() {
    return (int) TimeUnit.NANOSECONDS.toSeconds(System.nanoTime());
  }

  /** Sees responses when they were looked at: one that nothing took was never there. */
  private final class ForgetUntaken extends InterceptorAdapter {

    @Override
    public void receiveResponse(Response response) {
      if (response.isCanceled()) {
        forget(response);
      }
    }
  }
}
