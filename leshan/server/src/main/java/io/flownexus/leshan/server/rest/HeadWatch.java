package io.flownexus.leshan.server.rest;

import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.util.Callback;

/** Tells a connection when a request's head has come and when the request is over. */
final class HeadWatch extends Handler.Wrapper {

  HeadWatch(Handler handler) {
    super(handler);
  }

  @Override
  public boolean handle(Request request, Response response, Callback callback) throws Exception {
    if (request.getConnectionMetaData().getConnection().getEndPoint()
        instanceof WatchedEndPoint endPoint) {
      endPoint.served();
      Request.addCompletionListener(request, failure -> endPoint.over());
    }
    return super.handle(request, response, callback);
  }
}
