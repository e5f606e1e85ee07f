package io.flownexus.leshan.server.coap;

import io.flownexus.leshan.server.firmware.PackageSource;
import io.flownexus.leshan.server.webhook.Spool;
import org.eclipse.californium.core.config.CoapConfig;
import org.eclipse.californium.core.network.Outbox;
import org.eclipse.californium.core.network.stack.BaseCoapStack;
import org.eclipse.californium.core.network.stack.BlockwiseLayer;
import org.eclipse.californium.core.network.stack.ExchangeCleanupLayer;
import org.eclipse.californium.core.network.stack.Layer;
import org.eclipse.californium.core.network.stack.ObserveLayer;
import org.eclipse.californium.elements.EndpointContextMatcher;
import org.eclipse.californium.elements.config.Configuration;

/**
 * Californium's stack, but for the layers that acknowledge, put requests together, serve firmware
 * packages and tell of errors.
 */
final class CommitStack extends BaseCoapStack {

  private static final int MAX_RESPONSE = 1 << 18;
  private static final int MAX_RESPONSES = 256; // under way at once

  CommitStack(
      String tag,
      Configuration config,
      EndpointContextMatcher matcher,
      Outbox outbox,
      Spool spool,
      Deduplicator deduplicator,
      Registered registered,
      Refusals refusals,
      PackageSource packages) {
    super(outbox);
    setLayers(
        new Layer[] {
          new ExchangeCleanupLayer(config),
          new ObserveLayer(config),
          new BlockwiseLayer(tag, false, forResponses(config), matcher),
          new PushLayer(),
          new UploadLayer(registered),
          new DownloadLayer(packages, registered, deduplicator),
          new RefusalLayer(refusals),
          new CommitLayer(config, spool, deduplicator, registered)
        });
  }

  // For each block-wise response this layer allocates the largest body there may be.
  private static Configuration forResponses(Configuration config) {
    Configuration bounded = new Configuration(config);
    bounded.set(CoapConfig.MAX_RESOURCE_BODY_SIZE, MAX_RESPONSE);
    bounded.set(CoapConfig.MAX_ACTIVE_PEERS, MAX_RESPONSES);
    return bounded;
  }
}
