package io.flownexus.leshan.server.bootstrap;

import com.fasterxml.jackson.databind.JsonNode;
import io.flownexus.leshan.server.bootstrap.Functions.RefusedException;
import java.net.InetSocketAddress;
import java.util.HexFormat;
import java.util.Map;
import javax.crypto.SecretKey;
import javax.crypto.spec.SecretKeySpec;
import org.eclipse.californium.scandium.dtls.ConnectionId;
import org.eclipse.californium.scandium.dtls.HandshakeResultHandler;
import org.eclipse.californium.scandium.dtls.PskPublicInformation;
import org.eclipse.californium.scandium.dtls.PskSecretResult;
import org.eclipse.californium.scandium.dtls.pskstore.PskStore;
import org.eclipse.californium.scandium.util.ServerNames;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Finds factory keys for handshakes, each by a request to the function; no thread waits for it. */
final class FactoryKeys implements PskStore {

  private static final Logger LOG = LoggerFactory.getLogger(FactoryKeys.class);
  private static final int TRIES = 2; // the device begins its handshake anew, too

  private final Functions functions;
  private volatile HandshakeResultHandler handler;

  FactoryKeys(Functions functions) {
    this.functions = functions;
  }

  @Override
  public boolean hasEcdhePskSupported() {
    return true;
  }

  @Override
  public PskSecretResult requestPskSecretResult(
      ConnectionId connection,
      ServerNames names,
      PskPublicInformation identity,
      String hmacAlgorithm,
      SecretKey otherSecret,
      byte[] seed,
      boolean useExtendedMasterSecret) {
    functions
        .ask("key", Map.of("identity", identity.getPublicInfoAsString()), TRIES)
        .whenComplete(
            (answer, error) -> {
              if (error != null && !(error instanceof RefusedException)) {
                LOG.warn("a factory key cannot be looked up: {}", error.toString());
              }
              handler.apply(
                  answer == null
                      ? new PskSecretResult(connection, identity)
                      : new PskSecretResult(connection, identity, key(answer), false, false));
            });
    return null; // the handler gets it
  }

  private static SecretKey key(JsonNode answer) {
    byte[] key = HexFormat.of().parseHex(answer.path("key").asText());
    return new SecretKeySpec(key, PskSecretResult.ALGORITHM_PSK);
  }

  @Override
  public PskPublicInformation getIdentity(InetSocketAddress peer, ServerNames names) {
    throw new UnsupportedOperationException("devices connect, this server does not");
  }

  @Override
  public void setResultHandler(HandshakeResultHandler resultHandler) {
    handler = resultHandler;
  }
}
