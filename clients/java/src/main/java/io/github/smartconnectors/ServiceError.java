package io.github.smartconnectors;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.github.smartconnectors.common.v1.BidError;
import io.github.smartconnectors.common.v1.ErrorReason;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What a failed call says, or why one bid of a batch or stream was refused.
 *
 * @param code the gRPC status code; decide by the reason instead, gRPC emits some codes itself
 * @param reason why; {@code ERROR_REASON_UNSPECIFIED} when the service itself did not answer
 * @param reasonName the reason as the service wrote it, also one that is younger than this client;
 *     empty when the service itself did not answer
 * @param message for a person
 * @param retryAfter when trying again can help, from now; empty when the service gave no time
 * @param metadata the numbers, as text
 * @param violations the fields that are wrong
 */
public record ServiceError(
    Status.Code code,
    ErrorReason reason,
    String reasonName,
    String message,
    Optional<Duration> retryAfter,
    Map<String, String> metadata,
    List<Violation> violations) {

  /** The domain of the service's own reasons in google.rpc.ErrorInfo. */
  public static final String DOMAIN = "smartconnectors";

  private static final String PREFIX = "ERROR_REASON_";

  /**
   * One field of the request that is wrong.
   *
   * @param field its path in the request
   * @param description what is expected of it
   */
  public record Violation(String field, String description) {}

  /** What a failed call of a blocking stub says. */
  public static ServiceError of(StatusRuntimeException failed) {
    return of(failed.getStatus(), StatusProto.fromThrowable(failed));
  }

  /** What a failed call says. */
  public static ServiceError of(StatusException failed) {
    return of(failed.getStatus(), StatusProto.fromThrowable(failed));
  }

  /** Why one bid of a batch or stream was refused. */
  public static ServiceError of(BidError refused) {
    return new ServiceError(
        Status.fromCodeValue(refused.getCode()).getCode(),
        refused.getReason(),
        refused.getReason() == ErrorReason.UNRECOGNIZED
            ? ""
            : refused.getReason().name().substring(PREFIX.length()),
        refused.getMessage(),
        refused.hasRetryAfter() ? Optional.of(duration(refused.getRetryAfter())) : Optional.empty(),
        refused.getMetadataMap(),
        refused.getViolationsList().stream()
            .map(wrong -> new Violation(wrong.getField(), wrong.getDescription()))
            .toList());
  }

  /** The numbers, when a budget refused it. */
  public Optional<BudgetExceeded> budgetExceeded() {
    return reason == ErrorReason.ERROR_REASON_BUDGET_EXCEEDED
        ? Optional.of(BudgetExceeded.of(metadata, retryAfter))
        : Optional.empty();
  }

  /**
   * Whether the same request, with the same request id, may be sent again to the same server, at
   * once or after {@link #retryAfter}, without ever being carried out twice.
   */
  public boolean mayRetry() {
    return code == Status.Code.UNAVAILABLE
        || reason == ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN
        || reason == ErrorReason.ERROR_REASON_REQUEST_IN_PROGRESS;
  }

  private static ServiceError of(Status status, com.google.rpc.Status details) {
    String reasonName = "";
    Optional<Duration> retryAfter = Optional.empty();
    Map<String, String> metadata = Map.of();
    List<Violation> violations = new ArrayList<>();
    for (Any detail : details == null ? List.<Any>of() : details.getDetailsList()) {
      try {
        if (detail.is(ErrorInfo.class)) {
          ErrorInfo info = detail.unpack(ErrorInfo.class);
          if (info.getDomain().equals(DOMAIN)) {
            reasonName = info.getReason();
            metadata = info.getMetadataMap();
          }
        } else if (detail.is(RetryInfo.class)) {
          retryAfter = Optional.of(duration(detail.unpack(RetryInfo.class).getRetryDelay()));
        } else if (detail.is(BadRequest.class)) {
          detail.unpack(BadRequest.class).getFieldViolationsList().stream()
              .map(wrong -> new Violation(wrong.getField(), wrong.getDescription()))
              .forEach(violations::add);
        }
      } catch (InvalidProtocolBufferException malformed) {
        continue; // a detail that is malformed says nothing
      }
    }
    String message = status.getDescription() == null ? "" : status.getDescription();
    return new ServiceError(
        status.getCode(),
        reasonOf(reasonName),
        reasonName,
        message,
        retryAfter,
        metadata,
        List.copyOf(violations));
  }

  private static ErrorReason reasonOf(String name) {
    try {
      return ErrorReason.valueOf(PREFIX + name);
    } catch (IllegalArgumentException younger) {
      return ErrorReason.ERROR_REASON_UNSPECIFIED;
    }
  }

  private static Duration duration(com.google.protobuf.Duration of) {
    return Duration.ofSeconds(of.getSeconds(), of.getNanos());
  }
}
