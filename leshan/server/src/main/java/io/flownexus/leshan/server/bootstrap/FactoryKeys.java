package io.flownexus.leshan.server.bootstrap;

import com.fasterxml.jackson.databind.JsonNode;
import io.flownexus.leshan.server.bootstrap.Functions.RefusedException;
import java.net.InetSocketAddress;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
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
  private final Map<String, String> endpoints; // by identity: those of the keys found last
  private volatile HandshakeResultHandler handler;

  FactoryKeys(Functions functions, int maxHandshakes) {
    this.functions = functions;
    endpoints = // more than go on at once are not kept
        Collections.synchronizedMap(
            new LinkedHashMap<>(16, 0.75f, true) {
              @Override
              protected boolean removeEldestEntry(Map.Entry<String, String> eldest) {
                return size() > maxHandshakes;
              }
            });
  }

  /** Return the endpoint whose factory key has an identity, of a handshake of late; or null. */
  String endpointOf(String identity) {
    return endpoints.get(identity);
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
              if (answer == null) {
                handler.apply(new PskSecretResult(connection, identity));
                return;
              }
              JsonNode endpoint = answer.path("endpoint");
              if (endpoint.isTextual()) { // a function of the version before does not say it
                endpoints.put(identity.getPublicInfoAsString(), endpoint.textValue());
              }
              handler.apply(new PskSecretResult(connection, identity, key(answer), false, false));
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
