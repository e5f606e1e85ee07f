package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.base.Tokens;
import io.flownexus.leshan.server.security.Change;
import io.flownexus.leshan.server.security.EndpointName;
import io.flownexus.leshan.server.security.FileSecurityStore;
import io.flownexus.leshan.server.security.RegistrationWatch;
import io.flownexus.leshan.server.security.SecurityEntry;
import io.flownexus.leshan.server.security.SecurityJson;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import org.eclipse.leshan.servers.security.NonUniqueSecurityInfoException;

/**
 * Serves /api/security: who may log in, and how. A database of credentials is carried to
 * /api/security/carried, part by part.
 */
final class SecurityServlet extends HttpServlet {

  private static final long serialVersionUID = 1L;

  private final transient FileSecurityStore store;
  private final transient Tokens secretsTokens;
  private final transient RegistrationWatch watch;

  /**
   * Serve a store.
   *
   * @param secretsTokens who may read keys; null is nobody
   * @param watch judges the registration of each endpoint whose entry is not as before
   */
  SecurityServlet(FileSecurityStore store, Tokens secretsTokens, RegistrationWatch watch) {
    this.store = store;
    this.secretsTokens = secretsTokens;
    this.watch = watch;
  }

  @Override
  protected void service(HttpServletRequest httpRequest, HttpServletResponse response)
      throws IOException {
    try {
      OpenRequest.respond(
          response, handle(ApiRequest.of(httpRequest), httpRequest.getHeader("Authorization")));
    } catch (HttpError e) {
      OpenRequest.respond(response, HttpAnswer.error(e.code(), e.getMessage(), true));
    } catch (IllegalArgumentException e) {
      OpenRequest.respond(
          response,
          HttpAnswer.error(ErrorCode.BAD_REQUEST, "Invalid request body: " + e.getMessage(), true));
    } catch (NonUniqueSecurityInfoException e) {
      OpenRequest.respond(response, HttpAnswer.error(ErrorCode.BAD_REQUEST, e.getMessage(), true));
    } catch (UncheckedIOException e) {
      OpenRequest.respond(response, HttpAnswer.error(ErrorCode.INTERNAL, e.getMessage(), true));
    }
  }

  private HttpAnswer handle(ApiRequest request, String authorization)
      throws NonUniqueSecurityInfoException {
    int size = request.segments().size();
    if (request.segments().equals(List.of("carried"))) {
      return carried(request);
    }
    if (size == 0 || size > 2 || !request.segments().get(0).equals("clients")) {
      throw new HttpError(ErrorCode.BAD_REQUEST, "Invalid path");
    }
    if (request.method().equals("GET") && size == 1) {
      return list(request, authorization);
    }
    if (request.method().equals("PUT") && size == 1) {
      put(SecurityJson.read(request.body()));
      return HttpAnswer.empty();
    }
    if (request.method().equals("DELETE") && size == 2) {
      return revoke(request.segments().get(1));
    }
    throw new HttpError(ErrorCode.BAD_REQUEST, "Invalid path");
  }

  private HttpAnswer list(ApiRequest request, String authorization) {
    boolean secrets = "true".equals(request.query().get("secrets"));
    if (secrets && (secretsTokens == null || !secretsTokens.accept(authorization))) {
      throw new HttpError(
          ErrorCode.FORBIDDEN, "keys are only for the tokens of --secrets-token-file");
    }
    byte[] entries = SecurityJson.write(store.entries(), secrets);
    return new HttpAnswer(200, HttpAnswer.JSON, entries, true);
  }

  private void put(SecurityEntry entry) throws NonUniqueSecurityInfoException {
    check(entry);
    store.put(entry);
    watch.review(entry.endpoint());
  }

  private static void check(SecurityEntry entry) {
    String fault = EndpointName.fault(entry.endpoint());
    if (fault != null) {
      throw new IllegalArgumentException(fault);
    }
  }

  private HttpAnswer carried(ApiRequest request) {
    if (request.method().equals("PUT")) {
      Change change = SecurityJson.readChange(request.body());
      change.entries().forEach(SecurityServlet::check);
      boolean refused = store.carried().refusesUnenrolled();
      Set<String> concerned = store.carry(change);
      if (concerned == null) {
        throw new HttpError(
            ErrorCode.CONFLICT, "something else has been carried here; read it, and begin there");
      }
      if (refused == change.next().refusesUnenrolled()) {
        concerned.forEach(watch::review);
      } else {
        watch.reviewAll();
      }
    } else if (!request.method().equals("GET")) {
      throw new HttpError(ErrorCode.METHOD_NOT_ALLOWED, "GET or PUT");
    }
    return new HttpAnswer(200, HttpAnswer.JSON, SecurityJson.write(store.carried()), true);
  }

  // What is denied already stays so, and is found.
  private HttpAnswer revoke(String endpoint) {
    if (store.remove(endpoint, true) == null && !store.isDenied(endpoint)) {
      byte[] notFound = "{\"message\":\"not_found\"}".getBytes(StandardCharsets.UTF_8);
      return new HttpAnswer(200, HttpAnswer.JSON, notFound, true);
    }
    watch.review(endpoint);
    return HttpAnswer.empty();
  }
}
