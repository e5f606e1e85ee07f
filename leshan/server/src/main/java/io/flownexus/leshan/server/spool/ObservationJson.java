package io.flownexus.leshan.server.spool;

import java.util.Objects;
import org.eclipse.californium.core.network.serialization.UdpDataParser;
import org.eclipse.californium.core.network.serialization.UdpDataSerializer;
import org.eclipse.californium.elements.DtlsEndpointContext;
import org.eclipse.leshan.core.endpoint.DefaultEndPointUriHandler;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.transport.californium.ObserveUtil;
import org.eclipse.leshan.transport.californium.server.observation.ObservationSerDes;

/** Writes and reads observations: Leshan keeps each one's request in JSON, which is all of it. */
final class ObservationJson {

  private static final ObservationSerDes REQUESTS =
      new ObservationSerDes(new UdpDataParser(), new UdpDataSerializer());

  static {
    // Until its class is loaded nothing defines what a request over DTLS carries: Leshan would warn
    // of each observation and leave that out.
    Objects.requireNonNull(DtlsEndpointContext.KEY_HANDSHAKE_MODE);
  }

  private ObservationJson() {}

  static String write(Observation observation) {
    return ObserveUtil.extractSerializedObservation(observation);
  }

  static Observation read(String uri, String json) {
    return ObserveUtil.createLwM2mObservation(
        new DefaultEndPointUriHandler().createUri(uri), REQUESTS.deserialize(json), json);
  }
}
