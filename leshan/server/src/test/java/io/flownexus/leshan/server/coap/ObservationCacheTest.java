package io.flownexus.leshan.server.coap;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.ref.WeakReference;
import java.net.InetSocketAddress;
import java.util.Map;
import org.eclipse.californium.core.coap.CoAP.Code;
import org.eclipse.californium.core.coap.MessageObserverAdapter;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Token;
import org.eclipse.californium.core.network.serialization.UdpDataParser;
import org.eclipse.californium.core.network.serialization.UdpDataSerializer;
import org.eclipse.californium.core.observe.Observation;
import org.eclipse.californium.elements.AddressEndpointContext;
import org.eclipse.californium.elements.EndpointContext;
import org.eclipse.leshan.transport.californium.server.observation.ObservationSerDes;
import org.junit.jupiter.api.Test;

class ObservationCacheTest {

  private final ObservationCache cache = new ObservationCache();

  @Test
  void one_string_is_parsed_once_and_each_answer_is_a_request_of_its_own() {
    String json = json(1, "reg-1");
    Observation first = cache.deserialize(json);
    Observation second = cache.deserialize(json);
    assertSame(first.getContext(), second.getContext());
    assertNotSame(first.getRequest(), second.getRequest());
  }

  @Test
  void what_is_done_to_a_request_does_not_reach_the_next() {
    String json = json(1, "reg-1");
    Request first = cache.deserialize(json).getRequest();
    first.addMessageObserver(new MessageObserverAdapter() {});
    first.getOptions().setAccept(60);
    first.setToken(new Token(new byte[] {9}));
    first.setUserContext(Map.of("leshan-regId", "another"));
    first.cancel();
    Request second = cache.deserialize(json).getRequest();
    assertTrue(second.getMessageObservers().isEmpty());
    assertEquals(110, second.getOptions().getAccept());
    assertEquals(new Token(new byte[] {1}), second.getToken());
    assertEquals("reg-1", second.getUserContext().get("leshan-regId"));
    assertFalse(second.isCanceled());
  }

  @Test
  void it_reads_what_leshan_reads() {
    ObservationSerDes leshan = new ObservationSerDes(new UdpDataParser(), new UdpDataSerializer());
    String json = json(1, "reg-1");
    cache.deserialize(json);
    assertEquals(json, leshan.serialize(cache.deserialize(json)));
  }

  @Test
  void an_observation_that_replaces_another_is_read_anew() {
    assertEquals("reg-1", registration(json(1, "reg-1")));
    assertEquals("reg-2", registration(json(1, "reg-2")));
    assertEquals("reg-1", registration(json(1, "reg-1")));
  }

  @Test
  void it_forgets_what_the_store_has_forgotten() throws Exception {
    WeakReference<EndpointContext> forgotten = context(json(1, "reg-1"));
    String held = json(2, "reg-2");
    for (int i = 0; i < 100 && forgotten.get() != null; i++) {
      System.gc();
      cache.deserialize(held);
      Thread.sleep(10);
    }
    assertNull(forgotten.get());
  }

  private WeakReference<EndpointContext> context(String json) {
    return new WeakReference<>(cache.deserialize(json).getContext());
  }

  private String registration(String json) {
    return cache.deserialize(json).getRequest().getUserContext().get("leshan-regId");
  }

  private String json(int token, String registration) {
    Request request = new Request(Code.FETCH);
    request.setDestinationContext(
        new AddressEndpointContext(new InetSocketAddress("127.0.0.1", 56830)));
    request.setToken(new Token(new byte[] {(byte) token}));
    request.setMID(7);
    request.setObserve();
    request.getOptions().setAccept(110);
    request.setPayload("[{\"n\":\"/3303/0/5700\"}]");
    request.setUserContext(Map.of("leshan-regId", registration, "leshan-path", "/3303/0/5700\n"));
    return cache.serialize(new Observation(request, null));
  }
}
