package io.flownexus.leshan.server.rest;

import com.fasterxml.jackson.core.JsonGenerator;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import org.eclipse.leshan.core.model.ObjectModel;
import org.eclipse.leshan.core.model.ResourceModel;
import org.eclipse.leshan.server.LeshanServer;
import org.eclipse.leshan.server.registration.Registration;

/** Serves /api/objectspecs/{endpoint}: the models of a device's objects, as Leshan's demo does. */
final class ObjectSpecsServlet extends HttpServlet {

  private static final long serialVersionUID = 1L;

  private final transient LeshanServer server;

  ObjectSpecsServlet(LeshanServer server) {
    this.server = server;
  }

  @Override
  protected void doGet(HttpServletRequest httpRequest, HttpServletResponse response)
      throws IOException {
    HttpAnswer answer;
    String endpoint = null;
    try {
      ApiRequest request = ApiRequest.of(httpRequest);
      if (request.segments().size() != 1) {
        throw new HttpError(
            ErrorCode.BAD_REQUEST, "Invalid path: it is /api/objectspecs/{endpoint}");
      }
      endpoint = request.segments().get(0);
      answer = specs(endpoint);
    } catch (RuntimeException e) {
      answer = HttpAnswer.failed(e, endpoint);
    }
    OpenRequest.respond(response, answer);
  }

  private HttpAnswer specs(String endpoint) {
    Registration registration = server.getRegistrationService().getByEndpoint(endpoint);
    if (registration == null) {
      throw new HttpError(
          ErrorCode.NOT_REGISTERED, "No registered client with id '" + endpoint + "'");
    }
    List<ObjectModel> models =
        server.getModelProvider().getObjectModel(registration).getObjectModels().stream()
            .sorted(Comparator.comparing(model -> model.id))
            .toList();
    return HttpAnswer.json(
        out -> {
          out.writeStartArray();
          for (ObjectModel model : models) {
            write(out, model);
          }
          out.writeEndArray();
        });
  }

  private static void write(JsonGenerator out, ObjectModel model) throws IOException {
    out.writeStartObject();
    out.writeNumberField("id", model.id);
    out.writeStringField("name", model.name);
    out.writeStringField("instancetype", model.multiple ? "multiple" : "single");
    out.writeBooleanField("mandatory", model.mandatory);
    out.writeStringField("urn", model.urn);
    out.writeStringField("version", model.version);
    out.writeStringField("lwm2mversion", model.lwm2mVersion);
    out.writeStringField("description", model.description);
    out.writeStringField("description2", model.description2);
    out.writeArrayFieldStart("resourcedefs");
    for (ResourceModel resource : model.resources.values()) {
      write(out, resource);
    }
    out.writeEndArray();
    out.writeEndObject();
  }

  private static void write(JsonGenerator out, ResourceModel resource) throws IOException {
    out.writeStartObject();
    out.writeNumberField("id", resource.id);
    out.writeStringField("name", resource.name);
    out.writeStringField("operations", resource.operations.toString());
    out.writeStringField("instancetype", resource.multiple ? "multiple" : "single");
    out.writeBooleanField("mandatory", resource.mandatory);
    out.writeStringField(
        "type", resource.type == null ? "none" : resource.type.toString().toLowerCase(Locale.ROOT));
    out.writeStringField("range", resource.rangeEnumeration);
    out.writeStringField("units", resource.units);
    out.writeStringField("description", resource.description);
    out.writeEndObject();
  }
}
