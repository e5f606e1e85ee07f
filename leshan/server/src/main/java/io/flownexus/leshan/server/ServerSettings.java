package io.flownexus.leshan.server;

import io.flownexus.leshan.server.base.Metrics;
import io.flownexus.leshan.server.base.Tokens;
import io.flownexus.leshan.server.bootstrap.BootstrapServer;
import io.flownexus.leshan.server.coap.DtlsSessions;
import io.flownexus.leshan.server.security.Credentials;
import io.flownexus.leshan.server.security.NewEndpoints;
import io.flownexus.leshan.server.security.PlainCoap;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.function.Function;

/**
 * All that a server needs to know to start.
 *
 * <p>Port 0 is any free one; a CoAP port is opened where somebody may use it; paths that are null
 * are not used; the delivery is opened with the metrics that it counts into.
 */
record ServerSettings(
    String coapHost,
    int coapPort,
    int coapsPort,
    PlainCoap plainCoap,
    NewEndpoints.Limits newEndpoints,
    String httpHost,
    int httpPort,
    String metricsHost,
    int metricsPort,
    Tokens apiTokens,
    Tokens secretsTokens,
    Function<Metrics, Delivery> delivery,
    Path securityStore,
    Credentials credentials,
    Path models,
    URI firmware,
    UsersModels.Settings usersModels,
    Duration clientAwakeTime,
    boolean followAddress,
    DtlsSessions dtlsSessions,
    BootstrapServer.Settings bootstrap) {}
