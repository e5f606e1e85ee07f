package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.security.SecurityJson;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import org.eclipse.leshan.servers.security.EditableSecurityStore;
import org.eclipse.leshan.servers.security.NonUniqueSecurityInfoException;

/** Serves /api/security/clients: who may log in, and how. */
final class SecurityServlet extends HttpServlet {

  private static final long serialVersionUID = 1L;

  private final transient EditableSecurityStore store;

  SecurityServlet(EditableSecurityStore store) {
    this.store = store;
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
      return new Outcome(200, "application/json", SecurityJson.write(store.getAll()), true);
    }
    if (request.method().equals("PUT") && size == 1) {
      store.add(SecurityJson.read(request.body()));
      return Outcome.empty();
    }
    if (request.method().equals("DELETE") && size == 2) {
      return store.remove(request.segments().get(1), true) != null
          ? Outcome.empty()
          : new Outcome(
              200,
              "application/json",
              "{\"message\":\"not_found\"}".getBytes(StandardCharsets.UTF_8),
              true);
    }
    throw new HttpError(400, "Invalid path");
  }
}
