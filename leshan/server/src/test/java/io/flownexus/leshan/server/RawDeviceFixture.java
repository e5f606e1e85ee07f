package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.nio.file.Path;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Response;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** A server, and a device that sends it what a test says. */
abstract class RawDeviceFixture {

  static final long PATIENCE = 5000;

  @TempDir Path folder;
  TestServer server;
  RawDevice device;

  @BeforeEach
  void open() throws Exception {
    server = new TestServer(folder);
    device = new RawDevice("raw", server.application.coapPort());
  }

  @AfterEach
  void close() {
    device.close();
    server.close();
  }

  /** Register the device, by message 1. */
  void register() throws Exception {
    device.register(1);
    assertEquals(ResponseCode.CREATED, ((Response) answer(1)).getCode());
  }

  /** Wait for the answer to a message. */
  Message answer(int mid) throws InterruptedException {
    Message answer = device.answer(mid, PATIENCE);
    assertNotNull(answer);
    return answer;
  }
}
