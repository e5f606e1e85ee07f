package io.flownexus.leshan.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.eclipse.leshan.core.ResponseCode;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.request.ExecuteRequest;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.eclipse.leshan.core.request.WriteRequest;
import org.eclipse.leshan.core.request.exception.ClientSleepingException;
import org.eclipse.leshan.core.response.WriteResponse;
import org.eclipse.leshan.server.queue.StaticClientAwakeTimeProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BehaviourTest {
  @TempDir Path folder;

  @Test
  void a_sleeper_ignores_requests_while_asleep_and_answers_after_its_update() throws Exception {
    // The server thinks it awake for long: what is sent meanwhile goes into the void.
    try (TestServer server =
            new TestServer(
                0,
                builder ->
                    builder.setClientAwakeTimeProvider(new StaticClientAwakeTimeProvider(60_000)));
        Running running =
            new Running(
                folder,
                server.uri(Protocol.COAP),
                "prefix=s-,notify=100ms,sleepy,awake=2s,update=7s")) {
      assertTrue(server.nextRegistration().getQueueMode());
      assertNotNull(server.send("s-0001", new ReadRequest(3, 0, 0), 10_000));
      server.send("s-0001", new ObserveRequest(3303, 0, 5700), 10_000);
      TestServer.await(() -> running.device("s-0001").state().equals("asleep"), "asleep");
      Thread.sleep(200);
      int notified = server.notified.size();

      assertNull(server.send("s-0001", new ReadRequest(3, 0, 0), 1500));
      assertEquals(notified, server.notified.size(), "nothing is notified while asleep");

      TestServer.next(server.updated, "update");
      assertNotNull(server.send("s-0001", new ReadRequest(3, 0, 0), 10_000));
      TestServer.await(() -> server.notified.size() > notified, "a notification when awake");
    }
  }

  @Test
  void a_server_with_the_right_awake_time_knows_that_it_sleeps() throws Exception {
    try (TestServer server =
            new TestServer(
                0,
                builder ->
                    builder.setClientAwakeTimeProvider(new StaticClientAwakeTimeProvider(1000)));
        Running running =
            new Running(
                folder, server.uri(Protocol.COAP), "prefix=s-,sleepy,awake=1s,update=20s")) {
      server.nextRegistration();
      TestServer.await(() -> running.device("s-0001").state().equals("asleep"), "asleep");
      Thread.sleep(300);
      assertThrows(
          ClientSleepingException.class,
          () -> server.send("s-0001", new ReadRequest(3, 0, 0), 1000));
    }
  }

  @Test
  void a_sleepy_device_listens_on_after_each_request_that_it_has_answered() throws Exception {
    try (TestServer server = new TestServer();
        Running running =
            new Running(
                folder,
                server.uri(Protocol.COAP),
                "prefix=s-,notify=0,sleepy,awake=2s,update=60s")) {
      server.nextRegistration();
      for (int i = 0; i < 4; i++) {
        Thread.sleep(1200);
        assertNotNull(server.send("s-0001", new ReadRequest(3, 0, 0), 1500), "request " + i);
      }
      TestServer.await(() -> running.device("s-0001").state().equals("asleep"), "asleep");
    }
  }

  @Test
  void a_slow_device_answers_late_and_five_hundred_requests_wait_at_once() throws Exception {
    try (TestServer server = new TestServer();
        Running running =
            new Running(
                folder, server.uri(Protocol.COAP), "prefix=slow-,count=50,slow=3s,notify=0")) {
      for (int i = 0; i < 50; i++) {
        server.nextRegistration();
      }
      AtomicInteger changed = new AtomicInteger();
      long start = System.nanoTime();
      for (int i = 0; i < 500; i++) {
        server.<WriteResponse>send(
            "slow-%04d".formatted(1 + i % 50),
            new WriteRequest(3, 0, 15, "UTC+" + i),
            response -> changed.addAndGet(response.isSuccess() ? 1 : 0));
      }
      TestServer.await(
          () -> running.device("slow-0001").details().get("open_requests").equals(10), "10 open");
      assertEquals(0, changed.get());
      TestServer.await(() -> changed.get() == 500, "500 answers");
      long took = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start);
      assertTrue(took >= 3000 && took < 20_000, took + " ms");
    }
  }

  @Test
  void a_failing_device_answers_5_00() throws Exception {
    try (TestServer server = new TestServer();
        Running running =
            new Running(folder, server.uri(Protocol.COAP), "prefix=bad-,failing,notify=0")) {
      server.nextRegistration();
      ResponseCode failed = ResponseCode.INTERNAL_SERVER_ERROR;
      assertEquals(failed, server.send("bad-0001", new ReadRequest(3, 0, 0), 10_000).getCode());
      assertEquals(
          failed, server.send("bad-0001", new WriteRequest(3, 0, 15, "UTC"), 10_000).getCode());
      assertEquals(failed, server.send("bad-0001", new ExecuteRequest(3, 0, 4), 10_000).getCode());
      assertEquals(
          failed, server.send("bad-0001", new ObserveRequest(3303, 0, 5700), 10_000).getCode());

      running.device("bad-0001").fail(false);
      assertEquals(
          ResponseCode.CONTENT,
          server.send("bad-0001", new ReadRequest(3, 0, 0), 10_000).getCode());
      assertEquals(5, running.requests().size());
      assertEquals("5.00", running.requests().get(0).get("result").asText());
      assertEquals("execute", running.requests().get(2).get("operation").asText());
    }
  }

  @Test
  void devices_keep_trying_while_the_server_is_away_and_come_back() throws Exception {
    TestServer first = new TestServer();
    int port = first.port(Protocol.COAP);
    first.close();
    try (Running running =
        new Running(
            folder, "coap://127.0.0.1:" + port, "prefix=c-,count=3,update=2s,notify=100ms")) {
      TestServer.await(() -> running.device("c-0003").hasTried(), "a try");
      Thread.sleep(500);
      Set<String> ids = new HashSet<>();
      TestServer second = new TestServer(port, builder -> {});
      for (int i = 0; i < 3; i++) {
        ids.add(second.nextRegistration().getId());
      }
      second.close();

      // It has lost its registrations: the next update is answered 4.04.
      try (TestServer third = new TestServer(port, builder -> {})) {
        for (int i = 0; i < 3; i++) {
          assertFalse(ids.contains(third.nextRegistration().getId()));
        }
        TestServer.next(third.updated, "update");
      }
    }
  }

  @Test
  void the_slowness_can_be_changed() throws Exception {
    try (TestServer server = new TestServer();
        Running running = new Running(folder, server.uri(Protocol.COAP), "prefix=v-,notify=0")) {
      server.nextRegistration();
      running.device("v-0001").slow(Duration.ofSeconds(1));
      long start = System.nanoTime();
      assertNotNull(server.send("v-0001", new ReadRequest(3, 0, 0), 10_000));
      assertTrue(System.nanoTime() - start >= 1_000_000_000L);
    }
  }
}
