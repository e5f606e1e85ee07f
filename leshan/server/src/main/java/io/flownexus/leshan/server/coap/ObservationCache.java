package io.flownexus.leshan.server.coap;

import java.util.Collections;
import java.util.Map;
import java.util.WeakHashMap;
import org.eclipse.californium.core.network.serialization.UdpDataParser;
import org.eclipse.californium.core.network.serialization.UdpDataSerializer;
import org.eclipse.californium.core.observe.Observation;
import org.eclipse.californium.core.observe.ObservationUtil;
import org.eclipse.leshan.transport.californium.server.observation.ObservationSerDes;

/**
 * Parses an observation's JSON once, not for each of its notifications.
 *
 * <p>The registration store holds the JSON as long as the observation lasts: an entry goes when
 * that does. Whether there is an observation is still asked of the store each time.
 */
final class ObservationCache extends ObservationSerDes {

  private final Map<String, Observation> parsed = Collections.synchronizedMap(new WeakHashMap<>());

  ObservationCache() {
    super(new UdpDataParser(), new UdpDataSerializer());
  }

  /** Return a copy, for each notification's exchange adds observers to its request. */
  @Override
  public Observation deserialize(String json) {
    return ObservationUtil.shallowClone(parsed.computeIfAbsent(json, super::deserialize));
  }
}
