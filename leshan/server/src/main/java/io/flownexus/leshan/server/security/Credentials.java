package io.flownexus.leshan.server.security;

import io.flownexus.leshan.server.base.StartupException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import org.eclipse.californium.elements.util.SslContextUtil;

/** The server's X.509 identity and the CAs it trusts. */
public record Credentials(PrivateKey key, X509Certificate[] chain, Certificate[] trusted) {

  /** Read PEM files; null when none is given, and all three or none have to be. */
  public static Credentials read(Path certificate, Path key, Path trusted) {
    if (certificate == null && key == null && trusted == null) {
      return null;
    }
    if (certificate == null || key == null || trusted == null) {
      throw new StartupException(
          "--server-cert, --server-key and --ca-cert must be given together");
    }
    PrivateKey privateKey = pem(key).getPrivateKey();
    if (privateKey == null) {
      throw new StartupException(key + " contains no private key in PEM");
    }
    return new Credentials(privateKey, certificates(certificate), certificates(trusted));
  }

  private static X509Certificate[] certificates(Path file) {
    SslContextUtil.Credentials content = pem(file);
    if (content.getCertificateChain() != null) {
      return content.getCertificateChain();
    }
    if (content.getTrustedCertificates() instanceof X509Certificate[] certificates) {
      return certificates;
    }
    Certificate[] all = content.getTrustedCertificates();
    if (all == null || all.length == 0) {
      throw new StartupException(file + " contains no certificate in PEM");
    }
    X509Certificate[] certificates = new X509Certificate[all.length];
    for (int i = 0; i < all.length; i++) {
      certificates[i] = (X509Certificate) all[i];
    }
    return certificates;
  }

  private static SslContextUtil.Credentials pem(Path file) {
    try (InputStream in = Files.newInputStream(file)) {
      return SslContextUtil.loadPemCredentials(in);
    } catch (IOException | GeneralSecurityException | IllegalArgumentException e) {
      throw new StartupException("cannot read the PEM file " + file + " (" + e + ")", e);
    }
  }
}
