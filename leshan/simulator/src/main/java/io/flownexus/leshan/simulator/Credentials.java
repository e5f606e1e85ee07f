package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.HexFormat;
import org.eclipse.leshan.client.object.Security;
import org.eclipse.leshan.client.servers.ServerInfo;
import org.eclipse.leshan.core.CertificateUsage;

/** Says how devices prove themselves to the server: not at all, by PSK, RPK or X.509. */
sealed interface Credentials {
  int SERVER_ID = 1;

  /** Make object 0's instance for a device; IOException names the file that is no good. */
  Security security(String serverUri, String endpoint) throws IOException;

  /** Make object 0's instance of a bootstrap server; IOException as above, and without a PSK. */
  default Security bootstrap(String serverUri, String endpoint) throws IOException {
    throw new IOException("a device bootstraps with a PSK: give --psk-key-file");
  }

  /** Complete what Leshan takes from object 0. */
  default void complete(ServerInfo info, String endpoint) throws IOException {}

  /** Talks plain CoAP. */
  record None() implements Credentials {
    @Override
    public Security security(String serverUri, String endpoint) {
      return Security.noSec(serverUri, SERVER_ID);
    }
  }

  /**
   * Has a key in hex, and the identity prefix+endpoint, or that of a file; "{ep}" in a file's name
   * stands for the endpoint.
   */
  record Psk(String prefix, String identityFile, String keyFile) implements Credentials {
    @Override
    public Security security(String serverUri, String endpoint) throws IOException {
      return Security.psk(serverUri, SERVER_ID, identity(endpoint), key(endpoint));
    }

    @Override
    public Security bootstrap(String serverUri, String endpoint) throws IOException {
      return Security.pskBootstrap(serverUri, identity(endpoint), key(endpoint));
    }

    private byte[] identity(String endpoint) throws IOException {
      String identity =
          identityFile == null
              ? prefix + endpoint
              : Files.readString(named(identityFile, endpoint)).strip();
      return identity.getBytes(StandardCharsets.UTF_8);
    }

    private byte[] key(String endpoint) throws IOException {
      Path file = named(keyFile, endpoint);
      try {
        return HexFormat.of().parseHex(Files.readString(file).strip());
      } catch (IllegalArgumentException e) {
        throw new IOException(file + " does not hold a key in hex", e);
      }
    }
  }

  /** Has a pair of keys, and trusts the server by its public one. */
  record Rpk(String publicFile, String keyFile, Path serverFile) implements Credentials {
    @Override
    public Security security(String serverUri, String endpoint) throws IOException {
      return Security.rpk(
          serverUri,
          SERVER_ID,
          der(named(publicFile, endpoint), "PUBLIC KEY"),
          privateKey(named(keyFile, endpoint)).getEncoded(),
          der(serverFile, "PUBLIC KEY"));
    }
  }

  /**
   * Has a certificate, and trusts the server by a CA's or by its own; "{ep}" in the names of the
   * certificate's and the key's file stands for the endpoint.
   */
  record X509(String certFile, String keyFile, Path trustFile, CertificateUsage usage)
      implements Credentials {
    @Override
    public Security security(String serverUri, String endpoint) throws IOException {
      try {
        return Security.x509(
            serverUri,
            SERVER_ID,
            chain(named(certFile, endpoint))[0].getEncoded(),
            privateKey(named(keyFile, endpoint)).getEncoded(),
            chain(trustFile)[0].getEncoded(),
            usage.code);
      } catch (GeneralSecurityException e) {
        throw new IOException(e.getMessage(), e);
      }
    }

    /** Object 0 holds one certificate; the chain above it has to be shown as well. */
    @Override
    public void complete(ServerInfo info, String endpoint) throws IOException {
      info.clientCertificates = chain(named(certFile, endpoint));
    }

    private static Certificate[] chain(Path file) throws IOException {
      try (InputStream pem = Files.newInputStream(file)) {
        Certificate[] chain =
            CertificateFactory.getInstance("X.509")
                .generateCertificates(pem)
                .toArray(Certificate[]::new);
        if (chain.length == 0) {
          throw new IOException(file + " holds no certificate");
        }
        return chain;
      } catch (GeneralSecurityException e) {
        throw new IOException(file + " holds no PEM certificate: " + e.getMessage(), e);
      }
    }
  }

  private static Path named(String template, String endpoint) {
    return Path.of(template.replace("{ep}", endpoint));
  }

  private static PrivateKey privateKey(Path file) throws IOException {
    byte[] der = der(file, "PRIVATE KEY");
    try {
      return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(der));
    } catch (InvalidKeySpecException e) {
      throw new IOException(file + " holds no elliptic curve key", e);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e);
    }
  }

  private static byte[] der(Path file, String what) throws IOException {
    String pem = Files.readString(file);
    String head = "-----BEGIN " + what + "-----";
    int begin = pem.indexOf(head);
    int end = pem.indexOf("-----END " + what + "-----");
    if (begin < 0 || end < begin) {
      throw new IOException(file + " holds no " + what + " in PEM (" + head + ")");
    }
    return Base64.getMimeDecoder().decode(pem.substring(begin + head.length(), end));
  }
}
