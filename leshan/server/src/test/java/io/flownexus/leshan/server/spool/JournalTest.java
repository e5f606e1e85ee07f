package io.flownexus.leshan.server.spool;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.flownexus.leshan.server.WebhookReceiver;
import io.flownexus.leshan.server.base.Metrics;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a journal says of itself when its thread meets what nobody foresaw. */
class JournalTest {

  @TempDir Path folder;

  @Test
  void error_in_its_thread_is_no_quiet_end() throws Exception {
    AtomicReference<Error> error = new AtomicReference<>();
    try (Journal journal = new Journal(folder.resolve("spool.db"), new Metrics())) {
      journal.join(
          new Journal.Participant() {
            @Override
            public int write() {
              return 0;
            }

            @Override
            public void committed() {
              if (error.get() != null) {
                throw error.get();
              }
            }

            @Override
            public void failed(Exception reason) {}
          });
      journal.start();
      journal.wake();
      assertNull(journal.trouble());
      assertTrue(journal.ready());
      error.set(new StackOverflowError());
      journal.wake();
      WebhookReceiver.await(() -> journal.trouble() != null);
      assertTrue(journal.trouble().contains("has ended"), journal::trouble);
      assertFalse(journal.ready());
    }
  }
}
