package io.flownexus.leshan.simulator;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Arrays;
import org.eclipse.californium.core.coap.CoAP.Code;
import org.eclipse.californium.core.coap.Request;
import org.eclipse.californium.core.coap.Token;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.request.ReadRequest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What comes to a device that has not yet done with what came before. */
class BusyDeviceTest {
  private static final int FIRST = 40_000; // message ids that the server does not use at once
  private static final int SECOND = 40_001;
  private static final long RECEIVED_MILLIS = 500;

  @TempDir Path folder;

  @Test
  void both_of_two_observations_under_one_token_are_begun() throws Exception {
    try (TestServer server = new TestServer();
        Relay relay = new Relay(server.port(Protocol.COAP));
        Running running = new Running(folder, relay.uri(), "prefix=b-,notify=0")) {
      server.nextRegistration();
      synchronized (running.requestsLock()) {
        server.send("b-0001", new ReadRequest(3, 0, 0), response -> {});
        TestServer.await(BusyDeviceTest::aDeviceWaits, "the device to be busy");
        relay.send(observe(FIRST));
        relay.send(observe(SECOND));
        Thread.sleep(RECEIVED_MILLIS);
      }
      TestServer.await(() -> relay.answer(SECOND) != null, "an answer to the second");
      TestServer.await(() -> relay.answer(FIRST) != null, "an answer to the first");
      assertTrue(relay.answer(FIRST).getOptions().hasObserve(), "" + relay.answer(FIRST));
      assertTrue(relay.answer(SECOND).getOptions().hasObserve(), "" + relay.answer(SECOND));
    }
  }

  private static Request observe(int mid) {
    Request request = new Request(Code.GET);
    request.setMID(mid);
    request.setToken(new Token(new byte[] {7}));
    request.setObserve();
    request.getOptions().addUriPath("3").addUriPath("0").addUriPath("15");
    return request;
  }

  private static boolean aDeviceWaits() {
    return Thread.getAllStackTraces().entrySet().stream()
        .filter(each -> each.getKey().getState() == Thread.State.BLOCKED)
        .flatMap(each -> Arrays.stream(each.getValue()))
        .anyMatch(frame -> frame.getClassName().equals(RequestLog.class.getName()));
  }
}
