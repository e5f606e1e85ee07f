package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.json.NodeReader;
import io.flownexus.leshan.server.presence.AwakeTimes;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;
import org.eclipse.leshan.core.link.attributes.InvalidAttributeException;
import org.eclipse.leshan.core.link.lwm2m.attributes.DefaultLwM2mAttributeParser;
import org.eclipse.leshan.core.link.lwm2m.attributes.LwM2mAttributeParser;
import org.eclipse.leshan.core.link.lwm2m.attributes.LwM2mAttributeSet;
import org.eclipse.leshan.core.node.LwM2mChildNode;
import org.eclipse.leshan.core.node.LwM2mObjectInstance;
import org.eclipse.leshan.core.node.LwM2mSingleResource;
import org.eclipse.leshan.core.request.ContentFormat;
import org.eclipse.leshan.core.request.CreateRequest;
import org.eclipse.leshan.core.request.DeleteRequest;
import org.eclipse.leshan.core.request.DiscoverRequest;
import org.eclipse.leshan.core.request.DownlinkDeviceManagementRequest;
import org.eclipse.leshan.core.request.ExecuteRequest;
import org.eclipse.leshan.core.request.ObserveCompositeRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadCompositeRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.eclipse.leshan.core.request.WriteAttributesRequest;
import org.eclipse.leshan.core.request.WriteCompositeRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.request.WriteRequest.Mode;
import org.eclipse.leshan.core.request.exception.InvalidRequestException;

/** Translates requests below /api/clients/{endpoint} to LwM2M requests. */
final class DeviceRequests {

  private static final String COMPOSITE = "composite";
  private static final String OBSERVE = "observe";

  /** What the query says of the request itself, and not of an attribute. */
  private static final Set<String> OF_REQUEST = Set.of("timeout", AwakeTimes.PARAMETER);

  private static final LwM2mAttributeParser ATTRIBUTES = new DefaultLwM2mAttributeParser();

  private DeviceRequests() {}

  /** Return the LwM2M request that is asked for; observations are cancelled elsewhere. */
  static DownlinkDeviceManagementRequest<?> of(ApiRequest request) {
    return switch (request.method()) {
      case "GET" -> read(request);
      case "PUT" -> write(request);
      case "POST" -> post(request);
      case "DELETE" -> new DeleteRequest(request.path(1, request.segments().size()));
      default -> throw new HttpError(ErrorCode.METHOD_NOT_ALLOWED, "Method not allowed");
    };
  }

  /** Return whether the request is for a package to be pushed to a resource. */
  static boolean isPush(ApiRequest request) {
    return request.method().equals("PUT")
        && request.segments().size() == 5
        && last(request).equals("push");
  }

  /** Return whether the request is about a composite observation. */
  static boolean isCompositeObservation(ApiRequest request) {
    List<String> segments = request.segments();
    return segments.size() == 3
        && segments.get(1).equals(COMPOSITE)
        && segments.get(2).equals(OBSERVE);
  }

  /** Return whether the request is about the observation of one path. */
  static boolean isObservation(ApiRequest request) {
    return request.segments().size() >= 3 && last(request).equals(OBSERVE);
  }

  /** Return the paths of a composite request. */
  static List<String> paths(ApiRequest request) {
    String paths = request.query().get("paths");
    if (paths == null || paths.isBlank()) {
      throw new InvalidRequestException("parameter paths is missing");
    }
    return Arrays.stream(paths.split(",")).map(String::strip).toList();
  }

  private static DownlinkDeviceManagementRequest<?> read(ApiRequest request) {
    int size = request.segments().size();
    if (isComposite(request)) {
      return new ReadCompositeRequest(
          compositeFormat(request, "pathformat"),
          compositeFormat(request, "nodeformat"),
          paths(request));
    }
    if (size >= 3 && last(request).equals("discover")) {
      return new DiscoverRequest(request.path(1, size - 1));
    }
    return new ReadRequest(format(request, "format"), request.path(1, size));
  }

  private static DownlinkDeviceManagementRequest<?> write(ApiRequest request) {
    int size = request.segments().size();
    if (isComposite(request)) {
      return new WriteCompositeRequest(
          compositeFormat(request, "nodeformat"), NodeReader.readByPath(request.body()), null);
    }
    if (size < 3) {
      throw new HttpError(ErrorCode.BAD_REQUEST, "Invalid path");
    }
    if (last(request).equals("attributes")) {
      return new WriteAttributesRequest(request.path(1, size - 1), attributes(request));
    }
    String replace = request.query().get("replace");
    Mode mode = replace == null || replace.equalsIgnoreCase("true") ? Mode.REPLACE : Mode.UPDATE;
    return new WriteRequest(mode, format(request, "format"), request.path(1, size), node(request));
  }

  private static DownlinkDeviceManagementRequest<?> post(ApiRequest request) {
    int size = request.segments().size();
    if (isCompositeObservation(request)) {
      return new ObserveCompositeRequest(
          compositeFormat(request, "pathformat"),
          compositeFormat(request, "nodeformat"),
          paths(request).toArray(String[]::new));
    }
    if (isObservation(request)) {
      return new ObserveRequest(format(request, "format"), request.path(1, size - 1));
    }
    if (size == 4) {
      String arguments = request.body().length == 0 ? null : request.text();
      return new ExecuteRequest(request.path(1, size), arguments);
    }
    if (size == 2 || size == 3) {
      return create(request);
    }
    throw new HttpError(ErrorCode.BAD_REQUEST, "Invalid path");
  }

  private static CreateRequest create(ApiRequest request) {
    if (!(node(request) instanceof LwM2mObjectInstance instance)) {
      throw new InvalidRequestException("the body is no object instance");
    }
    String path = request.path(1, request.segments().size());
    ContentFormat format = format(request, "format");
    return instance.getId() == LwM2mObjectInstance.UNDEFINED
        ? new CreateRequest(format, path, instance.getResources().values())
        : new CreateRequest(format, path, instance);
  }

  private static LwM2mChildNode node(ApiRequest request) {
    if (request.contentType().equals("application/json")) {
      return NodeReader.read(request.body());
    }
    if (request.contentType().equals("text/plain")) {
      try {
        return LwM2mSingleResource.newStringResource(
            Integer.parseInt(last(request)), request.text());
      } catch (NumberFormatException e) {
        throw new InvalidRequestException("%s is no resource id", last(request));
      }
    }
    throw new InvalidRequestException("content type %s not supported", request.contentType());
  }

  private static LwM2mAttributeSet attributes(ApiRequest request) {
    String query =
        Arrays.stream((request.rawQuery() == null ? "" : request.rawQuery()).split("&"))
            .filter(pair -> !pair.isEmpty() && !OF_REQUEST.contains(pair.split("=", 2)[0]))
            .collect(Collectors.joining("&"));
    try {
      return new LwM2mAttributeSet(ATTRIBUTES.parseUriQuery(query));
    } catch (InvalidAttributeException e) {
      throw new InvalidRequestException(e, "invalid attributes: %s", e.getMessage());
    }
  }

  private static ContentFormat format(ApiRequest request, String parameter) {
    String name = request.query().get(parameter);
    if (name == null) {
      return null;
    }
    ContentFormat format = ContentFormat.fromName(name.toUpperCase(Locale.ROOT));
    if (format == null) {
      throw new InvalidRequestException("unknown %s %s", parameter, name);
    }
    return format;
  }

  // Composites need a format: Leshan has no default for them.
  private static ContentFormat compositeFormat(ApiRequest request, String parameter) {
    ContentFormat format = format(request, parameter);
    return format == null ? ContentFormat.SENML_JSON : format;
  }

  private static boolean isComposite(ApiRequest request) {
    return request.segments().size() == 2 && last(request).equals(COMPOSITE);
  }

  private static String last(ApiRequest request) {
    return request.segments().get(request.segments().size() - 1);
  }
}
