package io.flownexus.leshan.server.rest;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.List;
import java.util.function.Supplier;

/** Serves /healthz: 200 while all is well, else 503 with what is not, a line each. */
final class HealthServlet extends HttpServlet {

  private static final long serialVersionUID = 1L;

  private final transient Supplier<List<String>> troubles;

  HealthServlet(Supplier<List<String>> troubles) {
    this.troubles = troubles;
  }

  @Override
  protected void doGet(HttpServletRequest request, HttpServletResponse response)
      throws IOException {
    List<String> found = troubles.get();
    OpenRequest.respond(
        response,
        found.isEmpty()
            ? HttpAnswer.text(200, "ok\n")
            : HttpAnswer.text(503, String.join("\n", found) + "\n"));
  }
}
