package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.Tokens;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpFilter;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;

/** Lets only those in who know a token. */
final class BearerFilter extends HttpFilter {

  private static final long serialVersionUID = 1L;

  private final transient Tokens tokens;

  BearerFilter(Tokens tokens) {
    this.tokens = tokens;
  }

  @Override
  protected void doFilter(
      HttpServletRequest request, HttpServletResponse response, FilterChain chain)
      throws IOException, ServletException {
    if (tokens.accept(request.getHeader("Authorization"))) {
      chain.doFilter(request, response);
    } else {
      response.setHeader("WWW-Authenticate", "Bearer");
      OpenRequest.respond(
          response, Outcome.text(401, "Unauthorized: a bearer token is required", true));
    }
  }
}
