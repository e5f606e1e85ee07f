package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.security.FileSecurityStore;
import java.net.InetSocketAddress;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.PublicKey;
import java.security.cert.CertPath;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.HexFormat;
import org.eclipse.californium.elements.auth.RawPublicKeyIdentity;
import org.eclipse.californium.scandium.dtls.AlertMessage;
import org.eclipse.californium.scandium.dtls.AlertMessage.AlertDescription;
import org.eclipse.californium.scandium.dtls.AlertMessage.AlertLevel;
import org.eclipse.californium.scandium.dtls.CertificateMessage;
import org.eclipse.californium.scandium.dtls.CertificateVerificationResult;
import org.eclipse.californium.scandium.dtls.ConnectionId;
import org.eclipse.californium.scandium.dtls.HandshakeException;
import org.eclipse.californium.scandium.dtls.x509.StaticCertificateVerifier;
import org.eclipse.californium.scandium.util.ServerNames;
import org.eclipse.leshan.core.security.certificate.util.X509CertUtil;

/**
 * Ends a handshake by a raw public key that is nobody's, or by a certificate that is of the CA but
 * of no endpoint, revoked or replaced.
 */
final class DeviceVerifier extends StaticCertificateVerifier {

  private static final RawPublicKeyIdentity[] ALL_KEYS = {}; // which are looked up here

  private final X509Certificate[] trusted;
  private final FileSecurityStore store;

  DeviceVerifier(Certificate[] trusted, FileSecurityStore store) {
    this(Arrays.copyOf(trusted, trusted.length, X509Certificate[].class), store);
  }

  private DeviceVerifier(X509Certificate[] trusted, FileSecurityStore store) {
    super(trusted, ALL_KEYS, null);
    this.trusted = trusted;
    this.store = store;
  }

  @Override
  public CertificateVerificationResult verifyCertificate(
      ConnectionId connection,
      ServerNames names,
      InetSocketAddress peer,
      boolean clientUsage,
      boolean verifySubject,
      boolean truncatePath,
      CertificateMessage message) {
    CertificateVerificationResult result =
        super.verifyCertificate(
            connection, names, peer, clientUsage, verifySubject, truncatePath, message);
    HandshakeException refusal;
    if (result.getException() != null) {
      refusal = named(result.getException(), message.getCertificateChain());
    } else if (result.getPublicKey() != null) {
      refusal = refusal(result.getPublicKey());
    } else {
      refusal = refusal((X509Certificate) result.getCertificatePath().getCertificates().get(0));
    }
    return refusal == null ? result : new CertificateVerificationResult(connection, refusal);
  }

  // One that a trusted CA itself has signed is its endpoint's, though it is over, say.
  private HandshakeException named(HandshakeException refusal, CertPath path) {
    if (path == null
        || path.getCertificates().isEmpty()
        || !(path.getCertificates().get(0) instanceof X509Certificate certificate)
        || Arrays.stream(trusted).noneMatch(ca -> isSigned(certificate, ca))) {
      return refusal;
    }
    return new RefusedCertificateException(
        endpoint(certificate), refusal.getMessage(), refusal.getAlert(), refusal.getCause());
  }

  private static boolean isSigned(X509Certificate certificate, X509Certificate ca) {
    if (!certificate.getIssuerX500Principal().equals(ca.getSubjectX500Principal())) {
      return false;
    }
    try {
      certificate.verify(ca.getPublicKey());
      return true;
    } catch (GeneralSecurityException e) {
      return false; // by another CA of this name
    }
  }

  private HandshakeException refusal(PublicKey key) {
    return store.hasKey(key)
        ? null
        : new HandshakeException(
            "the raw public key is nobody's", alert(AlertDescription.CERTIFICATE_UNKNOWN));
  }

  private HandshakeException refusal(X509Certificate certificate) {
    String endpoint = endpoint(certificate);
    String sha256 = sha256(certificate);
    if (store.has(
        endpoint,
        each ->
            each.info().useX509Cert()
                && (each.certificate() == null || each.certificate().equals(sha256)))) {
      return null;
    }
    return store.entry(endpoint) == null
        ? refused(
            endpoint,
            "no endpoint has the certificate of '" + endpoint + "'",
            AlertDescription.CERTIFICATE_UNKNOWN)
        : refused(
            endpoint,
            "the certificate of '" + endpoint + "' was revoked or replaced",
            AlertDescription.CERTIFICATE_REVOKED);
  }

  private static HandshakeException refused(
      String endpoint, String reason, AlertDescription description) {
    return new RefusedCertificateException(endpoint, reason, alert(description), null);
  }

  private static AlertMessage alert(AlertDescription description) {
    return new AlertMessage(AlertLevel.FATAL, description);
  }

  private static String endpoint(X509Certificate certificate) {
    String subject = certificate.getSubjectX500Principal().getName();
    return subject.contains("CN=") ? X509CertUtil.extractCN(subject) : "";
  }

  private static String sha256(X509Certificate certificate) {
    try {
      return HexFormat.of()
          .formatHex(MessageDigest.getInstance("SHA-256").digest(certificate.getEncoded()));
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e); // it was encoded when it came
    }
  }
}
