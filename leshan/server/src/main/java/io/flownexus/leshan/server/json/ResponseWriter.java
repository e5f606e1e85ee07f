package io.flownexus.leshan.server.json;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import org.eclipse.leshan.core.response.CreateResponse;
import org.eclipse.leshan.core.response.DiscoverResponse;
import org.eclipse.leshan.core.response.LwM2mResponse;
import org.eclipse.leshan.core.response.ReadCompositeResponse;
import org.eclipse.leshan.core.response.ReadResponse;

/** Writes what a device answered in the JSON of Leshan's demo server. */
public final class ResponseWriter {

  private ResponseWriter() {}

  /** Write one answer of a device, an error too. */
  public static void write(JsonGenerator out, LwM2mResponse response) throws IOException {
    out.writeStartObject();
    out.writeStringField("status", response.getCode().toString());
    out.writeBooleanField("valid", response.isValid());
    out.writeBooleanField("success", response.isSuccess());
    out.writeBooleanField("failure", response.isFailure());
    if (response instanceof ReadResponse read && read.getContent() != null) {
      out.writeFieldName("content");
      NodeWriter.write(out, read.getContent());
    } else if (response instanceof ReadCompositeResponse read && read.getContent() != null) {
      out.writeFieldName("content");
      NodeWriter.write(out, read.getContent());
    } else if (response instanceof DiscoverResponse discover && discover.getObjectLinks() != null) {
      out.writeFieldName("objectLinks");
      RegistrationWriter.writeLinks(out, discover.getObjectLinks());
    } else if (response instanceof CreateResponse create && create.getLocation() != null) {
      out.writeStringField("location", create.getLocation());
    }
    String message = response.getErrorMessage();
    if (response.isFailure() && message != null && !message.isEmpty()) {
      out.writeStringField("errormessage", message);
    }
    out.writeEndObject();
  }
}
