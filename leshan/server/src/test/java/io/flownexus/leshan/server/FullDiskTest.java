package io.flownexus.leshan.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.eclipse.californium.core.coap.CoAP.ResponseCode;
import org.eclipse.californium.core.coap.CoAP.Type;
import org.eclipse.californium.core.coap.Message;
import org.eclipse.californium.core.coap.Response;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A disk that is full refuses devices as a spool that is full does. */
class FullDiskTest {

  @TempDir static Path folder;
  private static final long PATIENCE = 5000;

  Path disk;
  WebhookReceiver webhooks;

  @BeforeEach
  void mount() throws Exception {
    disk = Files.createDirectories(folder.resolve("disk"));
    Assumptions.assumeTrue(
        run("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk.toString()),
        "no right to mount a small tmpfs, and no other full disk at hand");
    webhooks = new WebhookReceiver();
  }

  @AfterEach
  void unmount() throws Exception {
    if (webhooks != null) {
      webhooks.close();
      run("umount", "-l", disk.toString());
    }
  }

  @Test
  void device_is_refused_while_the_disk_is_full_and_heard_after() throws Exception {
    Path home = Files.createDirectories(folder.resolve("home"));
    try (ServerProcess server =
            new ServerProcess(home, webhooks, "--spool=" + disk.resolve("spool.db"));
        RawDevice device = new RawDevice("raw", server.coapPort)) {
      device.register(1);
      assertEquals(ResponseCode.CREATED, ((Response) device.answer(1, PATIENCE)).getCode());
      assertTrue(
          server
              .json("POST", "/api/clients/raw/3303/0/5700/observe?format=TEXT")
              .path("success")
              .asBoolean());
      fill();
      WebhookReceiver.await(() -> server.metric("spool_writable") == 0);
      device.notify(2, 1.5);
      assertNull(device.answer(2, 500));
      device.send(3, 2.5);
      assertEquals(
          ResponseCode.SERVICE_UNAVAILABLE, ((Response) device.answer(3, PATIENCE)).getCode());
      Files.delete(disk.resolve("filler"));
      Message answer = null;
      for (int i = 0; i < 20 && answer == null; i++) {
        device.notify(2, 1.5);
        answer = device.answer(2, 500);
      }
      assertEquals(Type.ACK, answer.getType());
      device.send(4, 2.5);
      assertEquals(ResponseCode.CHANGED, ((Response) device.answer(4, PATIENCE)).getCode());
      WebhookReceiver.await(() -> server.metric("spool_pending_items") == 0);
      assertEquals(1, webhooks.items("/single").size());
      assertEquals(1, webhooks.items("/composite").size());
      assertEquals(2, server.metric("spool_synchronous")); // FULL, opened anew, too
    }
  }

  private void fill() throws IOException {
    try (OutputStream out = Files.newOutputStream(disk.resolve("filler"))) {
      byte[] block = new byte[4096];
      while (true) {
        out.write(block);
      }
    } catch (IOException full) {
      assertTrue(full.getMessage().contains("No space left"), full::toString);
    }
  }

  private static boolean run(String... command) throws IOException, InterruptedException {
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    return process.waitFor(10, TimeUnit.SECONDS) && process.exitValue() == 0;
  }
}
