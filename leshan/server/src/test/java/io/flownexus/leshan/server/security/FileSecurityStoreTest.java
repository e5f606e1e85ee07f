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
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
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

  private static final String TWO =
      "{\"endpoint\":\"a\",\"tls\":["
          + "{\"mode\":\"psk\",\"details\":{\"identity\":\"old\",\"key\":\"01\"},\"until\":1010},"
          + "{\"mode\":\"psk\",\"details\":{\"identity\":\"new\",\"key\":\"02\"}}]}";

  @TempDir Path folder;

  @Test
  void entries_are_there_again_after_a_restart() throws Exception {
    Path file = folder.resolve("security.json");
    FileSecurityStore store = new FileSecurityStore(file);
    store.put(SecurityJson.read(PSK.getBytes(StandardCharsets.UTF_8)));
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
    assertTrue(store.entries().get(0).isDenied());
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
  void any_of_several_credentials_counts_until_it_is_over_and_lost_ones_are_told()
      throws Exception {
    Instant[] now = {Instant.ofEpochSecond(1000)};
    FileSecurityStore store =
        new FileSecurityStore(
            folder.resolve("security.json"),
            new Clock() {
              @Override
              public Instant instant() {
                return now[0];
              }

              @Override
              public ZoneOffset getZone() {
                return ZoneOffset.UTC;
              }

              @Override
              public Clock withZone(ZoneId zone) {
                return this;
              }
            });
    List<String> lost = new ArrayList<>();
    store.addListener(
        (compromised, infos) -> {
          for (SecurityInfo info : infos) {
            lost.add(info.getPskIdentity());
          }
        });
    store.put(SecurityJson.read(TWO.getBytes(StandardCharsets.UTF_8)));
    assertArrayEquals(new byte[] {1}, store.getByIdentity("old").getPreSharedKey());
    assertArrayEquals(new byte[] {2}, store.getByIdentity("new").getPreSharedKey());
    assertTrue(store.expire().isEmpty());

    now[0] = Instant.ofEpochSecond(1010);
    assertNull(store.getByIdentity("old")); // before anything has swept
    assertEquals(Set.of("a"), store.expire());
    assertEquals(List.of("old"), lost);
    assertEquals("new", store.getByEndpoint("a").getPskIdentity());
    assertNull(new FileSecurityStore(folder.resolve("security.json")).getByIdentity("old"));
  }

  @Test
  void database_is_carried_in_parts_and_what_it_has_no_more_is_denied() throws Exception {
    Path file = folder.resolve("security.json");
    FileSecurityStore store = new FileSecurityStore(file);
    store.add(SecurityInfo.newX509CertInfo("by-hand"));
    assertEquals(Set.of("a"), store.carry(change("", 0, "one", 3, true, true, "a", "i")));
    assertNull(store.carry(change("", 0, "one", 4, false, false, "b", "j"))); // not from here on
    assertEquals(Set.of("b"), store.carry(change("one", 3, "one", 4, false, false, "b", "j")));
    FileSecurityStore again = new FileSecurityStore(file);
    assertEquals(new Carried("one", 4, true), again.carried());

    // Another database, in two parts: the identity of a is now that of c.
    assertEquals(Set.of("a", "c"), again.carry(change("one", 4, "two", 1, true, false, "c", "i")));
    assertEquals("j", again.getByEndpoint("b").getPskIdentity());
    assertEquals("", new FileSecurityStore(file).carried().source()); // it would begin anew
    assertTrue(new FileSecurityStore(file).carried().refusesUnenrolled());
    assertEquals(
        Set.of("a", "b", "d"), again.carry(change("two", 1, "two", 2, false, true, "d", "k")));
    assertTrue(again.isDenied("a"));
    assertTrue(again.isDenied("b"));
    assertEquals("c", again.getByIdentity("i").getEndpoint());
    assertTrue(again.getByEndpoint("by-hand").useX509Cert());
  }

  private static Change change(
      String source,
      long revision,
      String next,
      long to,
      boolean begins,
      boolean completes,
      String endpoint,
      String identity) {
    String entry =
        PSK.replace("\"a\"", '"' + endpoint + '"').replace("\"i\"", '"' + identity + '"');
    String json =
        """
        {"expected": {"source": "%s", "revision": %d}, "source": "%s", "revision": %d,
         "unenrolled": "refused", "begins": %s, "completes": %s, "entries": [%s]}"""
            .formatted(source, revision, next, to, begins, completes, entry);
    return SecurityJson.readChange(json.getBytes(StandardCharsets.UTF_8));
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
        "{\"endpoint\":\"a\",\"tls\":{\"mode\":\"x509\",\"until\":\"soon\"}}",
      })
  void fault_is_an_illegal_argument(String json) {
    assertThrows(
        IllegalArgumentException.class,
        () -> SecurityJson.read(json.getBytes(StandardCharsets.UTF_8)));
  }
}
