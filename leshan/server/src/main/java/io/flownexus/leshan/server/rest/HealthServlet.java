package io.flownexus.leshan.server.rest;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.function.BooleanSupplier;

/** Serves /healthz: 200 when ready, else 503. */
final class HealthServlet extends HttpServlet {

  private static final long serialVersionUID = 1L;

  private final transient BooleanSupplier ready;

  HealthServlet(BooleanSupplier ready) {
    this.ready = ready;
  }

  @Override
  protected void doGet(HttpServletRequest request, HttpServletResponse response)
      throws IOException {
    boolean ok = ready.getAsBoolean();
    OpenRequest.respond(response, Outcome.text(ok ? 200 : 503, ok ? "ok\n" : "not ready\n", false));
  }
}
