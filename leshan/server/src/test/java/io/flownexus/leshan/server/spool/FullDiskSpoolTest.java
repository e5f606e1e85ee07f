package io.flownexus.leshan.server.spool;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.flownexus.leshan.server.WebhookReceiver;
import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.webhook.Batch;
import io.flownexus.leshan.server.webhook.Item;
import io.flownexus.leshan.server.webhook.Lane;
import io.flownexus.leshan.server.webhook.MessageId;
import io.flownexus.leshan.server.webhook.WebhookKind;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.eclipse.californium.core.coap.Token;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the spool does when the disk takes no more in the middle of a transaction. */
class FullDiskSpoolTest {

  private static final Lane LANE = Lane.of(WebhookKind.SINGLE, "ep", 1);

  @TempDir Path folder;

  @Test
  void disk_that_ends_refuses_and_goes_on_with_room() throws Exception {
    Assumptions.assumeTrue(
        run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder.toString()),
        "no right to mount a small tmpfs, and no other full disk at hand");
    Metrics metrics = new Metrics();
    Path filler = Files.write(folder.resolve("filler"), new byte[2 << 20]);
    try (Journal journal = new Journal(folder.resolve("spool.db"), metrics)) {
      DiskSpool spool = new DiskSpool(journal, 1, 1 << 30, metrics);
      journal.start();
      int kept = 0;
      while (append(spool, kept)) {
        kept++;
      }
      assertTrue(kept > 100, () -> "the disk ended before the test began");
      assertFalse(spool.accepting());
      assertEquals(kept, spool.pending());
      Files.delete(filler);
      WebhookReceiver.await(() -> append(spool, -1));
      int stored = 0;
      for (Batch batch; (batch = spool.peek(LANE, 100, 1 << 20)) != null; ) {
        assertEquals(stored + 1, batch.firstSeq());
        stored += batch.items().size();
        spool.remove(LANE, batch.lastSeq());
      }
      assertEquals(kept + 1, stored);
      WebhookReceiver.await(spool::accepting);
      spool.close();
    } finally {
      run("umount", "-l", folder.toString());
    }
  }

  private static boolean append(DiskSpool spool, int n) {
    String json = "{\"n\":" + n + ",\"x\":\"" + "x".repeat(8000) + "\"}";
    Item item = new Item(WebhookKind.SINGLE, "ep", json.getBytes(StandardCharsets.US_ASCII));
    MessageId message =
        new MessageId(new InetSocketAddress("127.0.0.1", 1), n & 0xffff, Token.EMPTY);
    try {
      spool.append(List.of(item), message).toCompletableFuture().get(10, TimeUnit.SECONDS);
      return true;
    } catch (ExecutionException e) {
      return false;
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  private static boolean run(String... command) throws Exception {
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    return process.waitFor(10, TimeUnit.SECONDS) && process.exitValue() == 0;
  }
}
