package io.flownexus.leshan.server.coap;

import org.eclipse.californium.core.coap.EmptyMessage;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Response;
import org.eclipse.californium.core.network.interceptors.MessageInterceptor;

/** Lets every message pass; a subclass looks at those that it is there for. */
abstract class InterceptorAdapter implements MessageInterceptor {

  @Override
  public void sendRequest(Request request) {}

  @Override
  public void sendResponse(Response response) {}

  @Override
  public void sendEmptyMessage(EmptyMessage message) {}

  @Override
  public void receiveRequest(Request request) {}

  @Override
  public void receiveResponse(Response response) {}

  @Override
  public void receiveEmptyMessage(EmptyMessage message) {}
}
