package io.github.smartconnectors;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.github.smartconnectors.common.v1.BidError;
import io.github.smartconnectors.common.v1.BidRequest;
import io.github.smartconnectors.common.v1.ErrorReason;
import io.github.smartconnectors.googleads.v1.GoogleAdsServiceGrpc;
import io.github.smartconnectors.googleads.v1.PlaceBidRequest;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(20)
class CallsTest {
  private static final StatusRuntimeException AWAY =
      Status.UNAVAILABLE.withDescription("away").asRuntimeException();

  private static StatusRuntimeException veto(String domain) {
    ErrorInfo info =
        ErrorInfo.newBuilder()
            .setReason("BUDGET_EXCEEDED")
            .setDomain(domain)
            .putMetadata("budget_id", "google_ads")
            .putMetadata("currency_code", "USD")
            .putMetadata("amount_micros", "300000000")
            .putMetadata("limit_micros", "500000000")
            .putMetadata("committed_micros", "275000000")
            .putMetadata("held_micros", "1")
            .putMetadata("remaining_micros", "224999999")
            .build();
    RetryInfo.Builder retry = RetryInfo.newBuilder();
    retry.getRetryDelayBuilder().setSeconds(372).setNanos(500_000_000);
    BadRequest.Builder bad = BadRequest.newBuilder();
    bad.addFieldViolationsBuilder().setField("bid.bid_micros").setDescription("less, please");
    return StatusProto.toStatusRuntimeException(
        com.google.rpc.Status.newBuilder()
            .setCode(Status.Code.RESOURCE_EXHAUSTED.value())
            .setMessage("does not fit")
            .addDetails(Any.pack(info))
            .addDetails(Any.pack(retry.build()))
            .addDetails(Any.pack(bad.build()))
            .build());
  }

  private static PlaceBidRequest once() {
    return PlaceBidRequest.newBuilder().setBid(BidRequest.newBuilder().setRequestId("once")).build();
  }

  private static void place(ManagedChannel channel) {
    GoogleAdsServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(10, TimeUnit.SECONDS)
        .placeBid(once());
  }

  private static ServiceError failureOf(ManagedChannel channel) {
    return ServiceError.of(assertThrows(StatusRuntimeException.class, () -> place(channel)));
  }

  @Test
  void aVetoComesWithItsReasonItsNumbersAndItsTime() throws Exception {
    try (ScriptedServer server = new ScriptedServer(veto(ServiceError.DOMAIN))) {
      ServiceError failure = failureOf(server.connect(SmartConnectors.connect(server.target())));
      assertEquals(ErrorReason.ERROR_REASON_BUDGET_EXCEEDED, failure.reason());
      assertEquals("BUDGET_EXCEEDED", failure.reasonName());
      assertEquals("does not fit", failure.message());
      assertFalse(failure.mayRetry());
      assertEquals(
          List.of(new ServiceError.Violation("bid.bid_micros", "less, please")),
          failure.violations());
      Optional<Duration> wait = Optional.of(Duration.ofMillis(372_500));
      assertEquals(
          Optional.of(
              new BudgetExceeded(
                  "google_ads", "USD", 300_000_000, 500_000_000, 275_000_000, 1, 0, 0, 224_999_999,
                  wait)),
          failure.budgetExceeded());
    }
  }

  @Test
  void detailsOfAnotherServiceAreNotTakenForOurs() {
    ServiceError failure = ServiceError.of(veto("example.test"));
    assertEquals("", failure.reasonName());
    assertEquals(Optional.empty(), failure.budgetExceeded());
  }

  @Test
  void aReasonThatIsYoungerThanThisClientKeepsItsName() {
    ErrorInfo info =
        ErrorInfo.newBuilder().setReason("BRAND_NEW").setDomain(ServiceError.DOMAIN).build();
    ServiceError failure =
        ServiceError.of(
            StatusProto.toStatusRuntimeException(
                com.google.rpc.Status.newBuilder().setCode(9).addDetails(Any.pack(info)).build()));
    assertEquals("BRAND_NEW", failure.reasonName());
    assertEquals(ErrorReason.ERROR_REASON_UNSPECIFIED, failure.reason());
  }

  @Test
  void aCallThatNoServerCarriedOutIsTriedAgainWithTheSameIdAndToken() throws Exception {
    try (ScriptedServer server = new ScriptedServer(AWAY, AWAY)) {
      place(server.connect(SmartConnectors.connect(server.target()).withToken("secret")));
      assertEquals(List.of("once", "once", "once"), server.requestIds());
      assertEquals(
          List.of("Bearer secret", "Bearer secret", "Bearer secret"), server.authorizations());
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = Status.Code.class,
      mode = EnumSource.Mode.EXCLUDE,
      names = {"OK", "UNAVAILABLE"})
  void nothingButUnavailableIsTriedAgain(Status.Code code) throws Exception {
    try (ScriptedServer server = new ScriptedServer(Status.fromCode(code).asRuntimeException())) {
      ServiceError failure = failureOf(server.connect(SmartConnectors.connect(server.target())));
      assertEquals(code, failure.code());
      assertEquals(List.of("once"), server.requestIds());
    }
  }

  @Test
  void retriesCanBeTheCallersOwn() throws Exception {
    try (ScriptedServer server = new ScriptedServer(AWAY)) {
      SmartConnectors how = SmartConnectors.connect(server.target()).withoutRetries();
      assertTrue(failureOf(server.connect(how)).mayRetry());
      assertEquals(List.of("once"), server.requestIds());
    }
  }

  @Test
  void aServerThatIsNotServingIsNotAsked() throws Exception {
    try (ScriptedServer server = new ScriptedServer()) {
      server.health(ServingStatus.NOT_SERVING);
      ManagedChannel channel = server.connect(SmartConnectors.connect(server.target()));
      assertEquals(Status.Code.UNAVAILABLE, failureOf(channel).code());
      assertEquals(List.of(), server.requestIds());
      server.health(ServingStatus.SERVING);
      GoogleAdsServiceGrpc.newBlockingStub(channel)
          .withWaitForReady()
          .withDeadlineAfter(10, TimeUnit.SECONDS)
          .placeBid(once());
      assertEquals(List.of("once"), server.requestIds());
    }
  }

  @Test
  void aRefusedBidOfABatchReadsLikeARefusedCall() {
    BidError.Builder refused =
        BidError.newBuilder()
            .setCode(8)
            .setReason(ErrorReason.ERROR_REASON_BUDGET_EXCEEDED)
            .setMessage("does not fit")
            .putMetadata("limit_micros", "500000000");
    refused.getRetryAfterBuilder().setSeconds(1);
    refused.addViolationsBuilder().setField("bid").setDescription("d");
    ServiceError failure = ServiceError.of(refused.build());
    assertEquals(Status.Code.RESOURCE_EXHAUSTED, failure.code());
    assertEquals("BUDGET_EXCEEDED", failure.reasonName());
    assertEquals(List.of(new ServiceError.Violation("bid", "d")), failure.violations());
    BudgetExceeded veto = failure.budgetExceeded().orElseThrow();
    assertEquals(500 * Money.MICROS_PER_UNIT, veto.limit());
    assertEquals(Optional.of(Duration.ofSeconds(1)), veto.retryAfter());
  }

  @Test
  void aTokenIsTrimmed() throws Exception {
    try (ScriptedServer server = new ScriptedServer()) {
      place(
          server.connect(
              SmartConnectors.connect(server.target()).withToken("\ufeffsecret\r\n\u00a0")));
      assertEquals(List.of("Bearer secret"), server.authorizations());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"two words", "a\0b", "caf\u00e9", " \n"})
  void aTokenThatNoHeaderCarriesIsRefusedWithoutRepeatingIt(String token) {
    SmartConnectors how = SmartConnectors.connect("127.0.0.1:1");
    IllegalArgumentException error =
        assertThrows(IllegalArgumentException.class, () -> how.withToken(token));
    assertTrue(!error.getMessage().contains(token));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/tmp/s", "dns:///localhost:1"})
  void aTokenMayGoToThisMachineInPlainText(String target) {
    assertDoesNotThrow(() -> SmartConnectors.connect(target).withToken("t").builder());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "example.test:1", "10.0.0.1:1", "dns:///example.test:1", "localhost.example.test:1",
        "127.0.0.1.example.test:1"
      })
  void aTokenDoesNotLeaveThisMachineInPlainText(String target) {
    SmartConnectors how = SmartConnectors.connect(target).withToken("t");
    assertThrows(IllegalStateException.class, how::builder);
    assertDoesNotThrow(() -> how.withTls(TlsChannelCredentials.create()).builder());
  }

  @Test
  void aRequestIdIsOneThatTheServiceTakesAndNoTwoAreTheSame() {
    assertTrue(SmartConnectors.newRequestId().matches("[A-Za-z0-9_.-]{1,64}"));
    assertNotEquals(SmartConnectors.newRequestId(), SmartConnectors.newRequestId());
  }

  @Test
  void everyTryOfABidSaysItsIdToProxies() throws Exception {
    try (ScriptedServer server = new ScriptedServer(AWAY)) {
      place(server.connect(SmartConnectors.connect(server.target())));
      assertEquals(List.of("once", "once"), server.pins());
    }
  }

  @Test
  void whatACallerPinsByStays() throws Exception {
    try (ScriptedServer server = new ScriptedServer()) {
      Metadata own = new Metadata();
      own.put(SmartConnectors.PIN, "campaign-1001");
      GoogleAdsServiceGrpc.newBlockingStub(server.connect(SmartConnectors.connect(server.target())))
          .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(own))
          .placeBid(once());
      assertEquals(List.of("campaign-1001"), server.pins());
    }
  }

  @Test
  void anIdThatIsNoHeaderIsLeftToTheService() throws Exception {
    try (ScriptedServer server = new ScriptedServer()) {
      BidRequest odd = BidRequest.newBuilder().setRequestId("na\u00efve\n").build();
      GoogleAdsServiceGrpc.newBlockingStub(server.connect(SmartConnectors.connect(server.target())))
          .placeBid(PlaceBidRequest.newBuilder().setBid(odd).build());
      assertEquals(List.of(), server.pins());
      assertEquals(1, server.requestIds().size());
    }
  }
}
