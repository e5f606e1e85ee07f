package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.json.Json;
import java.nio.ByteBuffer;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.http.HttpStatus;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.handler.ErrorHandler;
import org.eclipse.jetty.util.Callback;

/** Writes the errors that the HTTP server itself answers in the shape of all others. */
final class JsonErrorHandler extends ErrorHandler {

  @Override
  protected void generateResponse(
      Request request,
      Response response,
      int status,
      String message,
      Throwable cause,
      Callback callback) {
    // Only the reason phrase: a message of the HTTP server can quote what the caller sent.
    byte[] body =
        Json.bytes(
            out ->
                HttpAnswer.writeError(
                    out, ErrorCode.ofStatus(status), HttpStatus.getMessage(status)));
    response.getHeaders().put(HttpHeader.CONTENT_TYPE, HttpAnswer.JSON);
    response.write(true, ByteBuffer.wrap(body), callback);
  }
}
