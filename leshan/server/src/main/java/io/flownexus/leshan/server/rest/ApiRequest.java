package io.flownexus.leshan.server.rest;

import jakarta.servlet.http.HttpServletRequest;
import java.io.IOException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** What the API looks at in a request: method, path segments below the servlet, query and body. */
record ApiRequest(
    String method,
    List<String> segments,
    Map<String, String> query,
    String rawQuery,
    String contentType,
    byte[] body) {

  private static final int MAX_BODY = 4 << 20;

  // Read from the raw URI: an endpoint name may hold an encoded slash.
  static ApiRequest of(HttpServletRequest request) throws IOException {
    String uri = request.getRequestURI();
    if (!uri.startsWith(request.getServletPath())) { // dots or escapes where none belong
      throw new HttpError(ErrorCode.BAD_REQUEST, "Invalid path");
    }
    String path = uri.substring(request.getServletPath().length());
    List<String> segments = new ArrayList<>();
    for (String segment : path.split("/")) {
      if (!segment.isEmpty()) {
        segments.add(decode(segment.replace("+", "%2B")));
      }
    }
    Map<String, String> query = new LinkedHashMap<>();
    String rawQuery = request.getQueryString();
    for (String pair : rawQuery == null ? new String[0] : rawQuery.split("&")) {
      int equals = pair.indexOf('=');
      String name = equals < 0 ? pair : pair.substring(0, equals);
      query.put(decode(name), equals < 0 ? "" : decode(pair.substring(equals + 1)));
    }
    byte[] body = request.getInputStream().readNBytes(MAX_BODY + 1);
    if (body.length > MAX_BODY) {
      throw new HttpError(
          ErrorCode.TOO_LARGE, "Invalid request: the body is larger than " + MAX_BODY + " bytes");
    }
    String type = request.getContentType();
    return new ApiRequest(
        request.getMethod(),
        segments,
        query,
        rawQuery,
        type == null ? "" : type.split(";")[0].strip().toLowerCase(Locale.ROOT),
        body);
  }

  /** Return the LwM2M path made of the segments between these two indices. */
  String path(int from, int to) {
    return "/" + String.join("/", segments.subList(from, to));
  }

  String text() {
    return new String(body, StandardCharsets.UTF_8);
  }

  private static String decode(String text) {
    try {
      return URLDecoder.decode(text, StandardCharsets.UTF_8);
    } catch (IllegalArgumentException e) {
      throw new HttpError(ErrorCode.BAD_REQUEST, "Invalid path");
    }
  }
}
