package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.webhook.SetAside;
import io.flownexus.leshan.server.webhook.Spool;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;

/** Serves /api/set-aside: items that no function takes; POST posts them again. */
final class SetAsideServlet extends HttpServlet {

  private static final long serialVersionUID = 1L;
  private static final int MAX_ITEMS = 100; // in one answer, and posted by one request
  private static final int MAX_SHOWN_CHARACTERS = 1000;
  private static final long TIMEOUT_SECONDS = 15;

  private final transient Spool spool;

  SetAsideServlet(Spool spool) {
    this.spool = spool;
  }

  @Override
  protected void doGet(HttpServletRequest request, HttpServletResponse response)
      throws IOException {
    OpenRequest.respond(
        response,
        HttpAnswer.json(
            out -> {
              out.writeStartArray();
              for (SetAside item : spool.setAside(MAX_ITEMS)) {
                out.writeStartObject();
                out.writeStringField("kind", item.lane().kind().label());
                out.writeNumberField("lane", item.lane().number());
                out.writeStringField("source", item.source().toString());
                out.writeNumberField("seq", item.seq());
                out.writeNumberField("time", item.time());
                out.writeStringField("reason", item.reason());
                out.writeStringField("item", shown(item.json()));
                out.writeEndObject();
              }
              out.writeEndArray();
            }));
  }

  @Override
  protected void doPost(HttpServletRequest request, HttpServletResponse response)
      throws IOException {
    try {
      int posted =
          spool
              .postSetAside(MAX_ITEMS)
              .toCompletableFuture()
              .orTimeout(TIMEOUT_SECONDS, TimeUnit.SECONDS)
              .join();
      OpenRequest.respond(
          response,
          HttpAnswer.json(
              out -> {
                out.writeStartObject();
                out.writeNumberField("posted", posted);
                out.writeEndObject();
              }));
    } catch (CompletionException e) {
      OpenRequest.respond(
          response,
          HttpAnswer.error(
              ErrorCode.UNAVAILABLE, "The spool cannot be written now: try again", true));
    }
  }

  private static String shown(String json) {
    return json.length() > MAX_SHOWN_CHARACTERS ? json.substring(0, MAX_SHOWN_CHARACTERS) : json;
  }
}
