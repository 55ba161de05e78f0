package io.github.smartconnectors;

import io.github.smartconnectors.googleads.v1.GoogleAdsServiceGrpc;
import io.github.smartconnectors.googleads.v1.PlaceBidRequest;
import io.github.smartconnectors.googleads.v1.PlaceBidResponse;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;

/** Answers each PlaceBid with the next failure, and with an answer when none is left. */
final class ScriptedServer extends GoogleAdsServiceGrpc.GoogleAdsServiceImplBase
    implements AutoCloseable, ServerInterceptor {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final Deque<StatusRuntimeException> failures;
  private final List<String> requestIds = Collections.synchronizedList(new ArrayList<>());
  private final List<String> authorizations = Collections.synchronizedList(new ArrayList<>());
  private final List<String> pins = Collections.synchronizedList(new ArrayList<>());
  private final HealthStatusManager health = new HealthStatusManager();
  private final List<ManagedChannel> channels = new ArrayList<>();
  private final Server server;

  ScriptedServer(StatusRuntimeException... failures) throws IOException {
    this.failures = new ArrayDeque<>(List.of(failures));
    this.server =
        Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
            .addService(ServerInterceptors.intercept(this, this))
            .addService(health.getHealthService())
            .build()
            .start();
  }

  String target() {
    return "127.0.0.1:" + port();
  }

  int port() {
    return server.getPort();
  }

  ManagedChannel connect(SmartConnectors how) {
    ManagedChannel channel = how.build();
    channels.add(channel);
    return channel;
  }

  void health(ServingStatus status) {
    health.setStatus("", status);
  }

  List<String> requestIds() {
    return List.copyOf(requestIds);
  }

  List<String> authorizations() {
    return List.copyOf(authorizations);
  }

  List<String> pins() {
    return List.copyOf(pins);
  }

  @Override
  public <Q, A> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
    if (headers.containsKey(AUTHORIZATION)) {
      authorizations.add(headers.get(AUTHORIZATION));
    }
    if (headers.containsKey(SmartConnectors.PIN)) {
      pins.add(headers.get(SmartConnectors.PIN));
    }
    return next.startCall(call, headers);
  }

  @Override
  public void placeBid(PlaceBidRequest request, StreamObserver<PlaceBidResponse> answers) {
    requestIds.add(request.getBid().getRequestId());
    StatusRuntimeException failure = failures.poll();
    if (failure != null) {
      answers.onError(failure);
      return;
    }
    answers.onNext(PlaceBidResponse.getDefaultInstance());
    answers.onCompleted();
  }

  @Override
  public void close() {
    channels.forEach(ManagedChannel::shutdownNow);
    server.shutdownNow();
  }
}
