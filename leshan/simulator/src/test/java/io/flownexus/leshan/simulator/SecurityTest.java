package io.flownexus.leshan.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import org.eclipse.leshan.core.CertificateUsage;
import org.eclipse.leshan.core.endpoint.Protocol;
import org.eclipse.leshan.core.peer.PskIdentity;
import org.eclipse.leshan.core.peer.X509Identity;
import org.eclipse.leshan.core.request.ObserveRequest;
import org.eclipse.leshan.core.request.ReadRequest;
import org.eclipse.leshan.server.security.Authorizer;
import org.eclipse.leshan.servers.security.Authorization;
import org.eclipse.leshan.servers.security.InMemorySecurityStore;
import org.eclipse.leshan.servers.security.SecurityInfo;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SecurityTest {
  private static final String KEY = "00112233445566778899aabbccddeeff";

  @TempDir Path folder;

  private TestServer pskServer() throws Exception {
    InMemorySecurityStore store = new InMemorySecurityStore();
    store.add(
        SecurityInfo.newPreSharedKeyInfo("p-0001", "id-p-0001", HexFormat.of().parseHex(KEY)));
    store.add(
        SecurityInfo.newPreSharedKeyInfo("p-0002", "id-p-0002", HexFormat.of().parseHex(KEY)));
    return new TestServer(0, builder -> builder.setSecurityStore(store));
  }

  private Credentials psk(String key) throws IOException {
    Path file = folder.resolve("psk");
    Files.writeString(file, key + "\n");
    return new Credentials.Psk("id-", null, file.toString());
  }

  @Test
  void registers_notifies_and_sleeps_with_psk() throws Exception {
    try (TestServer server = pskServer();
        Running running =
            new Running(
                folder,
                server.uri(Protocol.COAPS),
                psk(KEY),
                "prefix=p-,notify=50ms",
                "prefix=p-,start=2,sleepy,awake=1s,update=4s")) {
      List<String> identities = new ArrayList<>();
      for (int i = 0; i < 2; i++) {
        PskIdentity identity =
            (PskIdentity) server.nextRegistration().getClientTransportData().getIdentity();
        identities.add(identity.getPskIdentity());
      }
      assertTrue(identities.containsAll(List.of("id-p-0001", "id-p-0002")), "" + identities);
      assertNotNull(server.send("p-0001", new ReadRequest(3, 0, 0), 10_000));
      server.send("p-0001", new ObserveRequest(3303, 0, 5700), 10_000);
      TestServer.await(() -> server.notified.size() > 5, "notifications");

      TestServer.await(() -> running.device("p-0002").state().equals("asleep"), "asleep");
      TestServer.await(
          () -> server.updated.stream().anyMatch(r -> r.getEndpoint().equals("p-0002")),
          "the sleeper's update");
    }
  }

  @Test
  void a_wrong_key_is_refused_and_shown() throws Exception {
    try (TestServer server = pskServer();
        Running running =
            new Running(
                folder, server.uri(Protocol.COAPS), psk("ff" + KEY.substring(2)), "prefix=p-")) {
      TestServer.await(() -> running.device("p-0001").lastFailure() != null, "a failure");
      assertEquals("registering", running.device("p-0001").state());
      assertTrue(server.registered.isEmpty());
    }
  }

  @Test
  void the_status_counts_the_registered_and_names_a_refused_handshake() throws Exception {
    String unfinished =
        "DTLS handshake not completed: the server is not there, or refuses identity or key";
    try (TestServer server = pskServer()) {
      try (Running running =
          new Running(
              folder, server.uri(Protocol.COAPS), psk(KEY), "prefix=p-", "prefix=p-,start=3")) {
        server.nextRegistration();
        TestServer.await(() -> running.device("p-0003").lastFailure() != null, "a failure");
        assertEquals(
            "1 of 2 devices registered, 1 registering; p-0003: " + unfinished, running.status());
      }
      try (Running running =
          new Running(
              folder, server.uri(Protocol.COAPS), psk("ff" + KEY.substring(2)), "prefix=p-")) {
        TestServer.await(() -> running.device("p-0001").lastFailure() != null, "a failure");
        assertEquals(
            "0 of 1 devices registered, 1 registering; p-0001: " + unfinished, running.status());
      }
    }
  }

  @Test
  void the_status_names_a_refused_registration() throws Exception {
    Authorizer nobody = (request, registration, sender, endpoint) -> Authorization.declined();
    try (TestServer server = new TestServer(0, builder -> builder.setAuthorizer(nobody));
        Running running = new Running(folder, server.uri(Protocol.COAP), "prefix=p-")) {
      TestServer.await(() -> running.device("p-0001").lastFailure() != null, "a failure");
      String status = running.status();
      assertTrue(
          status.startsWith(
              "0 of 1 devices registered, 1 registering; p-0001: registration refused: FORBIDDEN"),
          status);
    }
  }

  @Test
  void registers_with_a_certificate_chain() throws Exception {
    try (TestServer server = x509Server();
        Running running =
            new Running(folder, server.uri(Protocol.COAPS), x509("ca.pem"), "prefix=x-")) {
      X509Identity identity =
          (X509Identity) server.nextRegistration().getClientTransportData().getIdentity();
      assertEquals("x-0001", identity.getX509CommonName());
      assertNotNull(server.send("x-0001", new ReadRequest(3, 0, 0), 10_000));
      assertEquals(null, running.device("x-0001").lastFailure());
    }
  }

  @Test
  void the_status_names_the_alert_of_a_handshake_that_failed() throws Exception {
    try (TestServer server = x509Server();
        Running running =
            new Running(folder, server.uri(Protocol.COAPS), x509("x-0001.pem"), "prefix=x-")) {
      TestServer.await(() -> running.device("x-0001").lastFailure() != null, "a failure");
      assertEquals(
          "0 of 1 devices registered, 1 registering; x-0001: DTLS handshake failed, BAD_CERTIFICATE:"
              + " Path does not chain with any of the trust anchors",
          running.status());
    }
  }

  private TestServer x509Server() throws Exception {
    keytool("-genkeypair -alias ca -dname CN=ca -ext bc:c");
    keytool("-genkeypair -alias mid -dname CN=mid -ext bc:c -signer ca");
    keytool("-genkeypair -alias server -dname CN=server -ext san=ip:127.0.0.1 -signer ca");
    keytool("-genkeypair -alias device -dname CN=x-0001 -signer mid");
    KeyStore store = KeyStore.getInstance(folder.resolve("store").toFile(), "secret".toCharArray());
    writePem("ca.pem", "CERTIFICATE", store.getCertificate("ca").getEncoded());
    for (var certificate : Arrays.copyOf(store.getCertificateChain("device"), 2)) {
      writePem("x-0001.pem", "CERTIFICATE", certificate.getEncoded());
    }
    writePem("x-0001.key", "PRIVATE KEY", key(store, "device").getEncoded());
    InMemorySecurityStore securities = new InMemorySecurityStore();
    securities.add(SecurityInfo.newX509CertInfo("x-0001"));
    PrivateKey key = key(store, "server");
    X509Certificate own = (X509Certificate) store.getCertificate("server");
    X509Certificate ca = (X509Certificate) store.getCertificate("ca");
    return new TestServer(
        0,
        builder ->
            builder
                .setSecurityStore(securities)
                .setPrivateKey(key)
                .setCertificateChain(new X509Certificate[] {own})
                .setTrustedCertificates(new X509Certificate[] {ca}));
  }

  private Credentials x509(String trusted) {
    return new Credentials.X509(
        folder + "/{ep}.pem",
        folder + "/{ep}.key",
        folder.resolve(trusted),
        CertificateUsage.TRUST_ANCHOR_ASSERTION);
  }

  private static PrivateKey key(KeyStore store, String alias) throws Exception {
    return (PrivateKey) store.getKey(alias, "secret".toCharArray());
  }

  private void writePem(String name, String type, byte[] der) throws IOException {
    Path file = folder.resolve(name);
    String before = Files.exists(file) ? Files.readString(file) : "";
    String body = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der);
    Files.writeString(
        file, before + "-----BEGIN " + type + "-----\n" + body + "\n-----END " + type + "-----\n");
  }

  private void keytool(String arguments) throws Exception {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "keytool").toString());
    command.addAll(List.of(arguments.split(" ")));
    command.addAll(List.of("-keyalg", "EC", "-groupname", "secp256r1", "-storetype", "PKCS12"));
    command.addAll(List.of("-keystore", folder.resolve("store").toString()));
    command.addAll(List.of("-storepass", "secret", "-validity", "2"));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), output);
  }
}
