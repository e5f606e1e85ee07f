package io.flownexus.leshan.server.coap;

import java.util.List;
import org.eclipse.californium.core.coap.CoAP.Code;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.MediaTypeRegistry;
import org.eclipse.californium.core.coap.OptionSet;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.coap.option.StringOption;
import org.eclipse.californium.core.network.Exchange;
import org.eclipse.californium.core.server.MessageDeliverer;

/** Refuses requests that Leshan's resources would fail at, and says what would be right. */
final class RequestCheck implements MessageDeliverer {

  private static final String REGISTRATIONS = "rd";
  private static final String DATA = "dp";

  private final MessageDeliverer delegate;

  RequestCheck(MessageDeliverer delegate) {
    this.delegate = delegate;
  }

  @Override
  public void deliverRequest(Exchange exchange) {
    Response refusal = refusal(exchange.getRequest());
    if (refusal == null) {
      delegate.deliverRequest(exchange);
    } else {
      exchange.sendResponse(refusal);
    }
  }

  @Override
  public void deliverResponse(Exchange exchange, Response response) {
    delegate.deliverResponse(exchange, response);
  }

  /** Return the segments of a request's path. */
  static List<String> path(Request request) {
    return request.getOptions().getUriPath().stream().map(StringOption::getStringValue).toList();
  }

  private static Response refusal(Request request) {
    OptionSet options = request.getOptions();
    List<String> path = path(request);
    if (request.getCode() != Code.POST || path.isEmpty()) {
      return null;
    }
    if (path.get(0).equals(REGISTRATIONS)) {
      String fault = RegistrationParameters.fault(options.getUriQueryStrings(), path.size() == 1);
      return fault == null ? null : refusal(ResponseCode.BAD_REQUEST, fault);
    }
    if (path.get(0).equals(DATA) && !isSenMl(options)) {
      return refusal(
          ResponseCode.UNSUPPORTED_CONTENT_FORMAT,
          "a Send has content format 110 (SenML-JSON) or 112 (SenML-CBOR)");
    }
    return null;
  }

  // The formats of a Send (OMA LwM2M Core 1.1, 6.4.6): others have no paths, or no times.
  private static boolean isSenMl(OptionSet options) {
    return options.hasContentFormat()
        && (options.getContentFormat() == MediaTypeRegistry.APPLICATION_SENML_JSON
            || options.getContentFormat() == MediaTypeRegistry.APPLICATION_SENML_CBOR);
  }

  private static Response refusal(ResponseCode code, String reason) {
    Response response = new Response(code);
    response.setPayload(reason);
    response.getOptions().setContentFormat(MediaTypeRegistry.TEXT_PLAIN);
    return response;
  }
}
