package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.security.EndpointName;
import io.flownexus.leshan.server.security.FileSecurityStore;
import io.flownexus.leshan.server.security.SecurityEntry;
import io.flownexus.leshan.server.security.SecurityJson;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.function.Consumer;
import org.eclipse.leshan.servers.security.NonUniqueSecurityInfoException;

/** Serves /api/security/clients: who may log in, and how. */
final class SecurityServlet extends HttpServlet {

  private static final long serialVersionUID = 1L;

  private final transient FileSecurityStore store;
  private final transient Consumer<String> changed;

  /** Serve a store; {@code changed} is told the endpoint of each entry that is not as before. */
  SecurityServlet(FileSecurityStore store, Consumer<String> changed) {
    this.store = store;
    this.changed = changed;
  }

  @Override
  protected void service(HttpServletRequest httpRequest, HttpServletResponse response)
      throws IOException {
    try {
      OpenRequest.respond(response, handle(ApiRequest.of(httpRequest)));
    } catch (HttpError e) {
      OpenRequest.respond(response, Outcome.text(e.status(), e.getMessage(), true));
    } catch (IllegalArgumentException e) {
      OpenRequest.respond(
          response, Outcome.text(400, "Invalid request body: " + e.getMessage(), true));
    } catch (NonUniqueSecurityInfoException e) {
      OpenRequest.respond(response, Outcome.text(400, e.getMessage(), true));
    } catch (UncheckedIOException e) {
      OpenRequest.respond(response, Outcome.text(500, e.getMessage(), true));
    }
  }

  private Outcome handle(ApiRequest request) throws NonUniqueSecurityInfoException {
    int size = request.segments().size();
    if (size == 0 || size > 2 || !request.segments().get(0).equals("clients")) {
      throw new HttpError(400, "Invalid path");
    }
    if (request.method().equals("GET") && size == 1) {
      return new Outcome(200, "application/json", SecurityJson.write(store.entries()), true);
    }
    if (request.method().equals("PUT") && size == 1) {
      put(SecurityJson.read(request.body()));
      return Outcome.empty();
    }
    if (request.method().equals("DELETE") && size == 2) {
      return revoke(request.segments().get(1));
    }
    throw new HttpError(400, "Invalid path");
  }

  private void put(SecurityEntry entry) throws NonUniqueSecurityInfoException {
    String fault = EndpointName.fault(entry.endpoint());
    if (fault != null) {
      throw new IllegalArgumentException(fault);
    }
    if (entry.credentials() == null) {
      store.deny(entry.endpoint());
    } else {
      store.add(entry.credentials());
    }
    changed.accept(entry.endpoint());
  }

  // What is denied already stays so, and is found.
  private Outcome revoke(String endpoint) {
    if (store.remove(endpoint, true) == null && !store.isDenied(endpoint)) {
      byte[] notFound = "{\"message\":\"not_found\"}".getBytes(StandardCharsets.UTF_8);
      return new Outcome(200, "application/json", notFound, true);
    }
    changed.accept(endpoint);
    return Outcome.empty();
  }
}
