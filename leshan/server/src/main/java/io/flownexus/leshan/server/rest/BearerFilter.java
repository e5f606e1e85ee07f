package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.base.Tokens;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.http.HttpFilter;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.List;

/** Lets only those in who know a token. */
final class BearerFilter extends HttpFilter {

  private static final long serialVersionUID = 1L;

  private final transient List<Tokens> tokens;

  BearerFilter(List<Tokens> tokens) {
    this.tokens = tokens;
  }

  @Override
  protected void doFilter(
      HttpServletRequest request, HttpServletResponse response, FilterChain chain)
      throws IOException, ServletException {
    String authorization = request.getHeader("Authorization");
    if (tokens.stream().anyMatch(each -> each.accept(authorization))) {
      chain.doFilter(request, response);
    } else {
      response.setHeader("WWW-Authenticate", "Bearer");
      OpenRequest.respond(
          response,
          HttpAnswer.error(
              ErrorCode.UNAUTHORIZED, "Unauthorized: a bearer token is required", true));
    }
  }
}
