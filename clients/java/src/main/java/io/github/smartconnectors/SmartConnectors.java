package io.github.smartconnectors;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.TlsChannelCredentials;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.regex.Pattern;

/**
 * How to connect to a smart connectors server.
 *
 * <pre>{@code
 * try (Client client = SmartConnectors.connect("bids.internal:50051").withTls().open()) { ... }
 * }</pre>
 */
public final class SmartConnectors {
  /**
   * What a channel applies: bids go round the healthy servers, and a call that no server carried out
   * (UNAVAILABLE) is tried again, at the time that the server gave, with the same request id.
   */
  public static final Map<String, ?> SERVICE_CONFIG =
      Map.of(
          "loadBalancingConfig", List.of(Map.of("round_robin", Map.of())),
          "healthCheckConfig", Map.of("serviceName", ""),
          "methodConfig",
              List.of(
                  Map.of(
                      "name", List.of(Map.of()),
                      "retryPolicy",
                          Map.of(
                              "maxAttempts", 4.0,
                              "initialBackoff", "0.1s",
                              "maxBackoff", "5s",
                              "backoffMultiplier", 2.0,
                              "retryableStatusCodes", List.of("UNAVAILABLE")))));

  /** The metadata that a proxy pins by; PlaceBid says its request id there. */
  public static final Metadata.Key<String> PIN =
      Metadata.Key.of("x-request-id", Metadata.ASCII_STRING_MARSHALLER);

  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
  private static final Pattern LOOPBACK =
      Pattern.compile(
          "unix(-abstract)?:.*|([a-z0-9+.-]+:///)?(localhost|127(\\.[0-9]{1,3}){3}|\\[?::1]?)(:[0-9]+)?");

  /** What nobody sees around a token that was copied or read from a file. */
  private static final Pattern UNSEEN =
      Pattern.compile(
          "^[\\s\\p{Z}\\x{feff}\\x{200b}-\\x{200f}\\x{2060}\\x{ad}]+"
              + "|[\\s\\p{Z}\\x{feff}\\x{200b}-\\x{200f}\\x{2060}\\x{ad}]+$");

  private static final Pattern SENDABLE = Pattern.compile("[!-~]+");

  private final String target;
  private ChannelCredentials credentials;
  private String token = "";
  private boolean retries = true;

  private SmartConnectors(String target) {
    this.target = target;
  }

  /** To {@code host:port}, or to any target that gRPC resolves; in plain text unless told otherwise. */
  public static SmartConnectors connect(String target) {
    return new SmartConnectors(target);
  }

  /** A random idempotency key. Send a retry with the same one. */
  public static String newRequestId() {
    return UUID.randomUUID().toString();
  }

  /** Encrypts; the authorities that Java ships vouch for the server. */
  public SmartConnectors withTls() {
    return withTls(TlsChannelCredentials.create());
  }

  /** Encrypts; for authorities or a client certificate of your own. */
  public SmartConnectors withTls(ChannelCredentials tls) {
    this.credentials = tls;
    return this;
  }

  /**
   * Shows a bearer token with every call. Spaces and line breaks around it are taken off.
   *
   * @throws IllegalArgumentException when what is left cannot be sent
   */
  public SmartConnectors withToken(String bearer) {
    String cleaned = UNSEEN.matcher(bearer).replaceAll("");
    if (!bearer.isEmpty() && !SENDABLE.matcher(cleaned).matches()) {
      throw new IllegalArgumentException(
          "a token is one word of printable ASCII without spaces; this one is not");
    }
    this.token = cleaned;
    return this;
  }

  /**
   * Leaves every retry to the caller. A connection that breaks in the middle of a call looks like
   * UNAVAILABLE too, so it is for a target with several servers that do not share a ledger, and no
   * proxy that pins by {@link #PIN}: the request id is known to the one that took it, and to no
   * other.
   */
  public SmartConnectors withoutRetries() {
    this.retries = false;
    return this;
  }

  /**
   * The client. It connects with the first call; close it when it is no longer needed.
   *
   * @throws IllegalStateException when a token would leave this machine in plain text
   */
  public Client open() {
    return new Client(build());
  }

  /**
   * The channel. It connects with the first call; shut it down when it is no longer needed.
   *
   * @throws IllegalStateException when a token would leave this machine in plain text
   */
  public ManagedChannel build() {
    return builder().build();
  }

  /** The channel's builder, for what this class has no method for. */
  public ManagedChannelBuilder<?> builder() {
    if (!token.isEmpty() && credentials == null && !LOOPBACK.matcher(target).matches()) {
      throw new IllegalStateException("a token is not sent to " + target + " in plain text");
    }
    ChannelCredentials chosen = credentials == null ? InsecureChannelCredentials.create() : credentials;
    ManagedChannelBuilder<?> builder =
        Grpc.newChannelBuilder(target, chosen)
            .defaultServiceConfig(SERVICE_CONFIG)
            // An answer is never too large: the bids in it have been placed.
            .maxInboundMessageSize(Integer.MAX_VALUE)
            .intercept(new Pinning());
    if (!retries) {
      builder.disableRetry();
    }
    return token.isEmpty() ? builder : builder.intercept(new Showing("Bearer " + token));
  }

  /** Sends the token. gRPC's own call credentials do the same, but only over TLS. */
  private record Showing(String authorization) implements ClientInterceptor {
    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(
        MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
      return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
        @Override
        public void start(Listener<A> listener, Metadata headers) {
          headers.put(AUTHORIZATION, authorization);
          super.start(listener, headers);
        }
      };
    }

    @Override
    public String toString() {
      return "Showing[a token]";
    }
  }
}
