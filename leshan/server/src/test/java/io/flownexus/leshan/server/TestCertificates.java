package io.flownexus.leshan.server;

import io.flownexus.leshan.server.security.Credentials;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;

/** Certificates made by the JDK's keytool: a CA, the server's, and devices' good and bad. */
final class TestCertificates {

  private static final String PASSWORD = "changeit";

  private final Path folder;
  private final Path store;

  TestCertificates(Path folder) throws IOException, InterruptedException {
    this.folder = folder;
    this.store = folder.resolve("keys.p12");
    make("ca", "Test CA", null, "-ext", "bc:c");
    make("server", "localhost", "ca", "-ext", "san=ip:127.0.0.1,dns:localhost");
    make("good", "good", "ca");
    make("expired", "expired", "ca", "-startdate", "-10d", "-validity", "5");
    make("otherca", "Other CA", null, "-ext", "bc:c");
    make("foreign", "foreign", "otherca");
  }

  /** Return the server's credentials, read from PEM files as in production. */
  Credentials server() throws IOException, GeneralSecurityException {
    return Credentials.read(
        pem("server.pem", "CERTIFICATE", certificate("server")),
        pem("server-key.pem", "PRIVATE KEY", key("server")),
        pem("ca.pem", "CERTIFICATE", certificate("ca")));
  }

  byte[] certificate(String alias) throws IOException, GeneralSecurityException {
    return keys().getCertificate(alias).getEncoded();
  }

  byte[] publicKey(String alias) throws IOException, GeneralSecurityException {
    return keys().getCertificate(alias).getPublicKey().getEncoded();
  }

  byte[] key(String alias) throws IOException, GeneralSecurityException {
    return keys().getKey(alias, PASSWORD.toCharArray()).getEncoded();
  }

  private Path pem(String name, String type, byte[] der) throws IOException {
    String text = Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der);
    return Files.writeString(
        folder.resolve(name),
        "-----BEGIN " + type + "-----\n" + text + "\n-----END " + type + "-----\n");
  }

  private KeyStore keys() throws IOException, GeneralSecurityException {
    KeyStore keys = KeyStore.getInstance("PKCS12");
    try (InputStream in = Files.newInputStream(store)) {
      keys.load(in, PASSWORD.toCharArray());
    }
    return keys;
  }

  private void make(String alias, String name, String signer, String... options)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "keytool").toString());
    command.addAll(List.of("-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1"));
    command.addAll(List.of("-keystore", store.toString(), "-storepass", PASSWORD));
    command.addAll(List.of("-alias", alias, "-dname", "CN=" + name));
    if (signer != null) {
      command.addAll(List.of("-signer", signer));
    }
    command.addAll(List.of(options));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes());
    if (process.waitFor() != 0) {
      throw new IOException("keytool: " + output);
    }
  }
}
