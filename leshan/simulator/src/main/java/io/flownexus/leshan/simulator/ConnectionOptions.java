package io.flownexus.leshan.simulator;

import java.io.IOException;
import java.net.InetAddress;
import java.nio.file.Path;
import org.eclipse.leshan.core.CertificateUsage;
import picocli.CommandLine.Option;

/** Holds the options that say which server devices connect to, and by which credentials. */
final class ConnectionOptions {
  @Option(
      names = "--server",
      defaultValue = "coap://127.0.0.1:5683",
      description = "The LwM2M server, coap:// or coaps:// (default: ${DEFAULT-VALUE}).")
  String server;

  @Option(
      names = "--bind",
      defaultValue = "127.0.0.1",
      description = "The address of the devices' sockets (default: ${DEFAULT-VALUE}).")
  InetAddress bind;

  @Option(
      names = "--psk-identity-prefix",
      defaultValue = "",
      description = "Prefix of the PSK identity; the endpoint name follows it.")
  private String pskPrefix;

  @Option(
      names = "--psk-identity-file",
      description = "File with a device's PSK identity; {ep} is replaced by the endpoint.")
  private String pskIdentityFile;

  @Option(
      names = "--psk-key-file",
      description = "File with a PSK, in hex; {ep} is replaced by the endpoint.")
  private String pskKeyFile;

  @Option(
      names = "--rpk-public-key",
      description = "The device's raw public key, PEM; {ep} is replaced by the endpoint.")
  private String rpkPublicFile;

  @Option(
      names = "--rpk-key",
      description = "Its private key, PEM PKCS#8; {ep} is replaced by the endpoint.")
  private String rpkKeyFile;

  @Option(names = "--server-public-key", description = "PEM file of the server's raw public key.")
  private Path serverKeyFile;

  @Option(
      names = "--x509-cert",
      description = "The device's certificate (chain), PEM; {ep} is replaced by the endpoint.")
  private String certFile;

  @Option(
      names = "--x509-key",
      description = "The certificate's key, PEM PKCS#8; {ep} is replaced by the endpoint.")
  private String keyFile;

  @Option(
      names = "--ca-cert",
      description = "PEM file of the CA that issued the server's certificate.")
  private Path caFile;

  @Option(
      names = "--server-cert",
      description = "PEM file of the server's certificate, to trust only it.")
  private Path serverCertFile;

  /** Make the devices' credentials; IOException when the options do not go together. */
  Credentials credentials() throws IOException {
    boolean x509 = certFile != null || keyFile != null;
    boolean rpk = rpkPublicFile != null || rpkKeyFile != null;
    boolean psk = pskKeyFile != null;
    if (server.startsWith("coap:") && !x509 && !rpk && !psk) {
      return new Credentials.None();
    } else if (!server.startsWith("coaps:")) {
      throw new IOException("--server must begin with coap://, or coaps:// with a key");
    } else if (psk && !x509 && !rpk) {
      return new Credentials.Psk(pskPrefix, pskIdentityFile, pskKeyFile);
    } else if (rpk && !x509 && !psk) {
      if (rpkPublicFile == null || rpkKeyFile == null || serverKeyFile == null) {
        throw new IOException("RPK needs --rpk-public-key, --rpk-key and --server-public-key");
      }
      return new Credentials.Rpk(rpkPublicFile, rpkKeyFile, serverKeyFile);
    } else if (psk || rpk || certFile == null || keyFile == null) {
      throw new IOException(
          "coaps:// needs one of --psk-key-file, --rpk-public-key and --rpk-key, or --x509-cert and"
              + " --x509-key");
    }
    return x509();
  }

  private Credentials x509() throws IOException {
    if ((caFile == null) == (serverCertFile == null)) {
      throw new IOException("X.509 needs one of --ca-cert and --server-cert");
    }
    return caFile != null
        ? new Credentials.X509(certFile, keyFile, caFile, CertificateUsage.TRUST_ANCHOR_ASSERTION)
        : new Credentials.X509(
            certFile, keyFile, serverCertFile, CertificateUsage.DOMAIN_ISSUER_CERTIFICATE);
  }
}
