package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.codec.RecordPaths;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.eclipse.californium.core.coap.CoAP.Code;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.leshan.core.observation.CompositeObservation;
import org.eclipse.leshan.core.observation.Observation;
import org.eclipse.leshan.core.observation.SingleObservation;
import org.eclipse.leshan.server.registration.Registration;
import org.eclipse.leshan.server.registration.RegistrationStore;

/**
 * Which messages of a device may be shown with their payload: those of which it is known that they
 * hold no key.
 *
 * <p>The objects 0 and 21 hold keys. A response is known by its request, or its observation.
 */
final class ShownPayloads {

  private static final int BOUND = 1000; // requests that are remembered
  private static final Pattern SECRET = Pattern.compile("/?(?:0|21)(?:/.*)?");
  private static final Pattern PATH = Pattern.compile("/?[0-9]{1,5}(?:/.*)?");

  private enum Shown {
    YES,
    BY_NAMES, // the payload says of what its records are
    NO
  }

  private final RegistrationStore registrations;
  private final Map<String, Shown> asked =
      new LinkedHashMap<>() {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Shown> eldest) {
          return size() > BOUND;
        }
      };

  ShownPayloads(RegistrationStore registrations) {
    this.registrations = registrations;
  }

  /** Note a message, and return whether its payload may be shown. */
  boolean test(Registration registration, Message message, boolean incoming) {
    Shown shown = shown(registration, message, incoming);
    if (shown == Shown.BY_NAMES) {
      return names(registration, message);
    }
    return shown == Shown.YES;
  }

  private Shown shown(Registration registration, Message message, boolean incoming) {
    if (message instanceof Request request) {
      if (incoming) {
        return ofDevice(request);
      }
      Shown shown = ofServer(registration, request);
      synchronized (asked) {
        asked.put(key(registration, message), shown);
      }
      return shown;
    }
    if (!incoming) {
      return Shown.NO; // may tell of what the device sent
    }
    synchronized (asked) {
      Shown known = asked.get(key(registration, message));
      if (known != null) {
        return known;
      }
    }
    return ofObservation(registration, message);
  }

  // A registration or update is links and parameters.
  private static Shown ofDevice(Request request) {
    if (request.getCode() != Code.POST) {
      return Shown.NO;
    }
    String path = request.getOptions().getUriPathString();
    return switch (path.split("/", 2)[0]) {
      case "rd" -> Shown.YES;
      case "dp" -> Shown.BY_NAMES;
      default -> Shown.NO;
    };
  }

  private static Shown ofServer(Registration registration, Request request) {
    String path = below(registration, "/" + request.getOptions().getUriPathString());
    return path.isEmpty() || path.equals("/") ? Shown.BY_NAMES : ofPath(path);
  }

  private Shown ofObservation(Registration registration, Message message) {
    Collection<Observation> observations = registrations.getObservations(registration.getId());
    for (Observation each : observations) {
      if (Arrays.equals(each.getId().getBytes(), message.getTokenBytes())) {
        if (each instanceof SingleObservation single) {
          return ofPath(single.getPath().toString());
        }
        return each instanceof CompositeObservation ? Shown.BY_NAMES : Shown.NO;
      }
    }
    return Shown.NO;
  }

  private static boolean names(Registration registration, Message message) {
    if (!message.getOptions().hasContentFormat()) {
      return false;
    }
    List<String> names =
        RecordPaths.of(message.getPayload(), message.getOptions().getContentFormat());
    return !names.isEmpty()
        && names.stream().allMatch(name -> ofPath(below(registration, name)) == Shown.YES);
  }

  private static Shown ofPath(String path) {
    return PATH.matcher(path).matches() && !SECRET.matcher(path).matches() ? Shown.YES : Shown.NO;
  }

  // Without the path below which the device has its objects.
  private static String below(Registration registration, String path) {
    String root = registration.getRootPath();
    if (root == null || root.equals("/")) {
      return path;
    }
    String prefix = root.endsWith("/") ? root.substring(0, root.length() - 1) : root;
    return path.startsWith(prefix + "/") ? path.substring(prefix.length()) : path;
  }

  private static String key(Registration registration, Message message) {
    return registration.getId() + " " + message.getTokenString();
  }
}
