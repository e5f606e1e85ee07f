package io.flownexus.leshan.server.rest;

import io.flownexus.leshan.server.json.Json;
import io.flownexus.leshan.server.json.ResponseWriter;
import io.flownexus.leshan.server.webhook.Receipt;
import java.nio.charset.StandardCharsets;
import org.eclipse.leshan.core.node.InvalidLwM2mPathException;
import org.eclipse.leshan.core.node.codec.CodecException;
import org.eclipse.leshan.core.request.exception.ClientSleepingException;
import org.eclipse.leshan.core.request.exception.InvalidRequestException;
import org.eclipse.leshan.core.request.exception.InvalidResponseException;
import org.eclipse.leshan.core.request.exception.RequestCanceledException;
import org.eclipse.leshan.core.request.exception.RequestRejectedException;
import org.eclipse.leshan.core.request.exception.TimeoutException;
import org.eclipse.leshan.core.request.exception.UnconnectedPeerException;
import org.eclipse.leshan.core.response.LwM2mResponse;

/** How an HTTP request about a device ends; unsent says that nothing left for the device. */
record Outcome(int status, String contentType, byte[] body, boolean unsent) {

  private static final String JSON = "application/json";
  private static final String TEXT = "text/plain;charset=utf-8";

  /** The device answered, an error of its own too. */
  static Outcome answered(LwM2mResponse response) {
    long time = Receipt.millis(response.getCoapResponse());
    return new Outcome(
        200, JSON, Json.bytes(out -> ResponseWriter.write(out, response, time)), false);
  }

  /** The device sleeps: nothing was sent, and nothing is queued here. */
  static Outcome asleep(String endpoint) {
    byte[] body =
        Json.bytes(
            out -> {
              out.writeStartObject();
              out.writeStringField("ep", endpoint);
              out.writeBooleanField("delayed", true);
              out.writeEndObject();
            });
    return new Outcome(200, JSON, body, true);
  }

  static Outcome json(Json.Content content) {
    return new Outcome(200, JSON, Json.bytes(content), true);
  }

  static Outcome empty() {
    return new Outcome(200, TEXT, new byte[0], true);
  }

  static Outcome text(int status, String text, boolean unsent) {
    return new Outcome(status, TEXT, text.getBytes(StandardCharsets.UTF_8), unsent);
  }

  /** What an exception means, before the request left or after. */
  static Outcome failed(Throwable error, String endpoint) {
    if (error instanceof HttpError http) {
      return text(http.status(), http.getMessage(), true);
    }
    if (error instanceof ClientSleepingException) {
      return asleep(endpoint);
    }
    if (error instanceof TimeoutException) {
      return text(504, "Request timeout", false);
    }
    if (error instanceof InvalidRequestException
        || error instanceof InvalidLwM2mPathException
        || error instanceof CodecException) {
      return text(400, "Invalid request: " + error.getMessage(), true);
    }
    if (error instanceof UnconnectedPeerException) {
      return text(500, "Not connected: " + error.getMessage(), true);
    }
    if (error instanceof RequestRejectedException) {
      return text(500, "Request rejected: " + error.getMessage(), false);
    }
    if (error instanceof RequestCanceledException) {
      return text(500, "Request cancelled: " + error.getMessage(), false);
    }
    if (error instanceof InvalidResponseException) {
      return text(500, "Invalid response: " + error.getMessage(), false);
    }
    return text(500, "Unexpected exception: " + error, false);
  }
}
