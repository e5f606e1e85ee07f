package io.flownexus.leshan.server.rest;

import java.util.List;
import java.util.function.Predicate;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Token;
import org.eclipse.leshan.core.node.LwM2mPath;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.core.request.DownlinkDeviceManagementRequest;
import org.eclipse.leshan.core.request.ObserveCompositeRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.server.observation.ObservationService;
import org.eclipse.leshan.server.registration.Registration;

/** The observations of registered devices, as the REST API names them: by their paths. */
final class Observations {

  private final ObservationService service;

  Observations(ObservationService service) {
    this.service = service;
  }

  /** Each has "path", or "paths" where it is a composite. */
  HttpAnswer list(Registration registration) {
    return HttpAnswer.json(
        out -> {
          out.writeStartArray();
          for (Observation each : service.getObservations(registration)) {
            out.writeStartObject();
            if (each instanceof SingleObservation one) {
              out.writeStringField("path", one.getPath().toString());
            } else if (each instanceof CompositeObservation many) {
              out.writeArrayFieldStart("paths");
              for (LwM2mPath path : many.getPaths()) {
                out.writeString(path.toString());
              }
              out.writeEndArray();
            }
            out.writeEndObject();
          }
          out.writeEndArray();
        });
  }

  SingleObservation of(Registration registration, String path) {
    LwM2mPath wanted = new LwM2mPath(path);
    return find(registration, SingleObservation.class, o -> o.getPath().equals(wanted));
  }

  CompositeObservation of(Registration registration, List<String> paths) {
    List<LwM2mPath> wanted = LwM2mPath.getLwM2mPathList(paths);
    return find(registration, CompositeObservation.class, o -> o.getPaths().equals(wanted));
  }

  void forget(Registration registration, String path) {
    service.cancelObservations(registration, path);
  }

  void forget(Registration registration, List<String> paths) {
    service.cancelCompositeObservations(registration, paths.toArray(String[]::new));
  }

  /**
   * Let a request to observe go with the token of the observation that it takes the place of: a
   * device that still has one of the same target keeps one of the two (RFC 7641, 4.1).
   */
  void takeOver(
      Registration registration, DownlinkDeviceManagementRequest<?> request, Request coap) {
    for (Observation known : service.getObservations(registration)) {
      if (isOf(known, request)) {
        service.cancelObservation(known);
        coap.setToken(new Token(known.getId().getBytes()));
        return;
      }
    }
  }

  private static boolean isOf(Observation known, DownlinkDeviceManagementRequest<?> request) {
    if (known instanceof SingleObservation one && request instanceof ObserveRequest wanted) {
      return one.getPath().equals(wanted.getPath());
    }
    return known instanceof CompositeObservation many
        && request instanceof ObserveCompositeRequest wanted
        && many.getPaths().equals(wanted.getPaths());
  }

  private <T extends Observation> T find(
      Registration registration, Class<T> type, Predicate<T> wanted) {
    return service.getObservations(registration).stream()
        .filter(type::isInstance)
        .map(type::cast)
        .filter(wanted)
        .findFirst()
        .orElseThrow(() -> new HttpError(ErrorCode.NOT_FOUND, "No such observation"));
  }
}
