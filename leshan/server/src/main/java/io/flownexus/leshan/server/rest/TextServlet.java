package io.flownexus.leshan.server.rest;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.function.Supplier;

/** Serves a text made at each request. */
final class TextServlet extends HttpServlet {

  private static final long serialVersionUID = 1L;

  private final transient Supplier<String> text;
  private final String contentType;

  TextServlet(String contentType, Supplier<String> text) {
    this.contentType = contentType;
    this.text = text;
  }

  @Override
  protected void doGet(HttpServletRequest request, HttpServletResponse response)
      throws IOException {
    response.setContentType(contentType);
    response.getOutputStream().write(text.get().getBytes(StandardCharsets.UTF_8));
  }
}
