package io.flownexus.leshan.server.rest;

import com.fasterxml.jackson.core.JsonGenerator;
import io.flownexus.leshan.server.codec.AnswerHistory;
import io.flownexus.leshan.server.codec.UnreadableException;
import io.flownexus.leshan.server.firmware.PackageSource;
import io.flownexus.leshan.server.json.Json;
import io.flownexus.leshan.server.json.ResponseWriter;
import io.flownexus.leshan.server.webhook.Receipt;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
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

/**
 * How an HTTP request about a device ends.
 *
 * <p>The result is ok or an error's code; unsent says that nothing left for the device.
 */
record HttpAnswer(int status, String contentType, byte[] body, boolean unsent, String result) {

  static final String JSON = "application/json";
  private static final String TEXT = "text/plain;charset=utf-8";

  /** No error of this server's. */
  HttpAnswer(int status, String contentType, byte[] body, boolean unsent) {
    this(status, contentType, body, unsent, "ok");
  }

  /** The device answered, an error of its own too. */
  static HttpAnswer answered(LwM2mResponse response) {
    return answered(response, List.of());
  }

  /** The device answered, with values of older times. */
  static HttpAnswer answered(LwM2mResponse response, List<AnswerHistory.Entry> older) {
    long time = Receipt.millis(response.getCoapResponse());
    return new HttpAnswer(
        200, JSON, Json.bytes(out -> ResponseWriter.write(out, response, time, older)), false);
  }

  /** The device sleeps: nothing was sent, and nothing is queued here. */
  static HttpAnswer asleep(String endpoint) {
    byte[] body =
        Json.bytes(
            out -> {
              out.writeStartObject();
              out.writeStringField("ep", endpoint);
              out.writeBooleanField("delayed", true); // by which Leshan's demo says it
              writeErrorFields(out, ErrorCode.ASLEEP, "The device sleeps");
              out.writeEndObject();
            });
    return new HttpAnswer(ErrorCode.ASLEEP.status(), JSON, body, true, ErrorCode.ASLEEP.label());
  }

  /** A push is under way: the device has taken so many bytes of so many. */
  static HttpAnswer underWay(long sent, long size) {
    byte[] body =
        Json.bytes(
            out -> {
              out.writeStartObject();
              out.writeStringField("status", "CONTINUE(231)");
              out.writeBooleanField("success", true);
              out.writeNumberField("sent", sent);
              out.writeNumberField("size", size);
              out.writeEndObject();
            });
    return new HttpAnswer(200, JSON, body, false);
  }

  static HttpAnswer json(Json.Content content) {
    return new HttpAnswer(200, JSON, Json.bytes(content), true);
  }

  static HttpAnswer empty() {
    return new HttpAnswer(200, TEXT, new byte[0], true);
  }

  static HttpAnswer text(int status, String text) {
    return new HttpAnswer(status, TEXT, text.getBytes(StandardCharsets.UTF_8), false);
  }

  static HttpAnswer error(ErrorCode code, String message, boolean unsent) {
    byte[] body = Json.bytes(out -> writeError(out, code, message));
    return new HttpAnswer(code.status(), JSON, body, unsent, code.label());
  }

  /** Write the body of an error answer: code and message. */
  static void writeError(JsonGenerator out, ErrorCode code, String message) throws IOException {
    out.writeStartObject();
    writeErrorFields(out, code, message);
    out.writeEndObject();
  }

  private static void writeErrorFields(JsonGenerator out, ErrorCode code, String message)
      throws IOException {
    out.writeStringField("code", code.label());
    out.writeStringField("message", message);
  }

  /** What an exception means, before the request left or after. */
  static HttpAnswer failed(Throwable error, String endpoint) {
    if (error instanceof HttpError http) {
      return error(http.code(), http.getMessage(), true);
    }
    if (error instanceof ClientSleepingException) {
      return asleep(endpoint);
    }
    if (error instanceof PackageSource.NoPackage) {
      return error(ErrorCode.NOT_FOUND, "There is no package, or not any more", false);
    }
    if (error instanceof TimeoutException) {
      return timeout();
    }
    if (error instanceof InvalidRequestException
        || error instanceof InvalidLwM2mPathException
        || error instanceof CodecException) {
      return error(ErrorCode.BAD_REQUEST, "Invalid request: " + error.getMessage(), true);
    }
    if (error instanceof UnconnectedPeerException) {
      return error(ErrorCode.UNSENT, "Not connected: " + error.getMessage(), true);
    }
    if (error instanceof RequestRejectedException) {
      return error(ErrorCode.REJECTED, "Request rejected: " + error.getMessage(), false);
    }
    if (error instanceof RequestCanceledException) {
      return error(ErrorCode.CANCELLED, "Request cancelled: " + error.getMessage(), false);
    }
    if (error instanceof InvalidResponseException) {
      UnreadableException unreadable = UnreadableException.in(error); // says what, and why
      Throwable reason = unreadable == null ? error : unreadable;
      return error(ErrorCode.UNREADABLE, "Invalid response: " + reason.getMessage(), false);
    }
    return error(ErrorCode.INTERNAL, "Unexpected exception: " + error, false);
  }

  static HttpAnswer timeout() {
    return error(ErrorCode.TIMEOUT, "Request timeout", false);
  }
}
