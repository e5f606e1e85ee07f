package io.flownexus.leshan.server.security;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.flownexus.leshan.server.base.StartupException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.eclipse.leshan.servers.security.NonUniqueSecurityInfoException;
import org.eclipse.leshan.servers.security.SecurityInfo;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Security entries on disk. */
class FileSecurityStoreTest {

  private static final String PSK =
      "{\"endpoint\":\"a\",\"tls\":{\"mode\":\"psk\",\"details\":{\"identity\":\"i\",\"key\":\"00ff\"}}}";

  @TempDir Path folder;

  @Test
  void entries_are_there_again_after_a_restart() throws Exception {
    Path file = folder.resolve("security.json");
    FileSecurityStore store = new FileSecurityStore(file);
    store.add(SecurityJson.read(PSK.getBytes(StandardCharsets.UTF_8)).credentials());
    store.add(SecurityInfo.newX509CertInfo("b"));
    store.add(SecurityInfo.newX509CertInfo("c"));
    store.remove("c", true);

    assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
    try (var files = Files.list(folder)) {
      assertEquals(1, files.count());
    }
    FileSecurityStore again = new FileSecurityStore(file);
    assertArrayEquals(new byte[] {0, -1}, again.getByIdentity("i").getPreSharedKey());
    assertTrue(again.getByEndpoint("b").useX509Cert());
    assertNull(again.getByEndpoint("c"));
    assertTrue(again.isDenied("c"));
  }

  @Test
  void endpoint_without_credentials_any_more_is_denied_until_it_gets_new_ones() throws Exception {
    FileSecurityStore store = new FileSecurityStore(null);
    store.add(SecurityInfo.newX509CertInfo("a"));
    assertFalse(store.isDenied("a"));
    store.remove("a", true);
    assertTrue(store.isDenied("a"));
    assertEquals("[SecurityEntry[endpoint=a, credentials=null]]", store.entries().toString());
    store.add(SecurityInfo.newX509CertInfo("a"));
    assertFalse(store.isDenied("a"));
    assertEquals(1, store.entries().size());
  }

  @Test
  void revocation_that_cannot_be_written_has_not_happened() throws Exception {
    Path inner = Files.createDirectory(folder.resolve("inner"));
    FileSecurityStore store = new FileSecurityStore(inner.resolve("security.json"));
    store.add(SecurityInfo.newX509CertInfo("a"));
    Files.delete(inner.resolve("security.json"));
    Files.delete(inner);
    assertThrows(UncheckedIOException.class, () -> store.remove("a", true));
    assertFalse(store.isDenied("a"));
    assertTrue(store.getByEndpoint("a").useX509Cert());
  }

  @Test
  void entry_that_cannot_be_written_is_not_there_at_all() {
    FileSecurityStore store = new FileSecurityStore(folder.resolve("missing/security.json"));
    assertThrows(UncheckedIOException.class, () -> store.add(SecurityInfo.newX509CertInfo("b")));
    assertTrue(store.getAll().isEmpty());
  }

  @Test
  void identity_belongs_to_one_endpoint() throws Exception {
    FileSecurityStore store = new FileSecurityStore(null);
    store.add(SecurityInfo.newPreSharedKeyInfo("a", "i", new byte[] {1}));
    assertThrows(
        NonUniqueSecurityInfoException.class,
        () -> store.add(SecurityInfo.newPreSharedKeyInfo("b", "i", new byte[] {2})));
  }

  @Test
  void broken_file_refuses_to_start_without_telling_keys() throws Exception {
    Path file = Files.writeString(folder.resolve("security.json"), "[" + PSK + ",{\"00ff\"");
    StartupException error =
        assertThrows(StartupException.class, () -> new FileSecurityStore(file));
    assertFalse(error.getMessage().contains("00ff"), error.getMessage());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{}",
        "[]",
        "nonsense",
        "{\"endpoint\":\"a\"}",
        "{\"endpoint\":\"a\",\"tls\":{\"mode\":\"none\"}}",
        "{\"endpoint\":\"a\",\"tls\":{\"mode\":\"psk\",\"details\":{\"identity\":\"i\",\"key\":\"xy\"}}}",
        "{\"endpoint\":\"a\",\"tls\":{\"mode\":\"psk\",\"details\":{\"key\":\"00\"}}}",
      })
  void fault_is_an_illegal_argument(String json) {
    assertThrows(
        IllegalArgumentException.class,
        () -> SecurityJson.read(json.getBytes(StandardCharsets.UTF_8)));
  }
}
