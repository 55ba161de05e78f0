package io.github.smartconnectors;

import com.google.gson.Gson;
import com.google.gson.annotations.SerializedName;
import io.github.smartconnectors.budgets.v1.GetBudgetStatsRequest;
import io.github.smartconnectors.budgets.v1.WatchBudgetStatsRequest;
import io.github.smartconnectors.common.v1.BidResponse;
import io.github.smartconnectors.googleads.v1.BidAnswer;
import io.github.smartconnectors.googleads.v1.GoogleAdsServiceGrpc;
import io.github.smartconnectors.googleads.v1.PlaceBidsRequest;
import io.github.smartconnectors.googleads.v1.StreamBidsRequest;
import io.github.smartconnectors.googleads.v1.StreamBidsResponse;
import io.grpc.Context;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.StreamObserver;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * Plays tests/conformance/clients: does the steps in the file that it is given, and prints what the
 * client says of each.
 */
final class ScenarioRunner {
  private record Scenario(Map<String, How> connections, List<Step> steps) {}

  private record How(
      String target, boolean tls, @SerializedName("ca_file") String caFile, String token, boolean retries) {}

  private record Step(
      String name,
      String on,
      String call,
      String platform,
      List<String> bid,
      List<List<String>> bids,
      String budget,
      @SerializedName("until_committed") String untilCommitted,
      @SerializedName("fits_within_s") long fitsWithinS) {}

  private final Client client;
  private final Step step;

  private ScenarioRunner(Client client, Step step) {
    this.client = client;
    this.step = step;
  }

  public static void main(String[] arguments) throws Exception {
    Scenario scenario = new Gson().fromJson(Files.readString(Path.of(arguments[0])), Scenario.class);
    for (Step step : scenario.steps()) {
      try (Client client = how(scenario.connections().get(step.on())).open()) {
        ScenarioRunner runner = new ScenarioRunner(client, step);
        List<String> lines =
            switch (step.call()) {
              case "place" -> runner.place();
              case "watch" -> runner.watch();
              case "stream" -> runner.stream();
              case "batch" -> runner.batch();
              case "budget" -> runner.budget();
              default -> throw new IllegalArgumentException(step.call());
            };
        lines.forEach(line -> System.out.println(step.name() + ": " + line));
      }
    }
  }

  private static SmartConnectors how(How how) throws IOException {
    SmartConnectors connect = SmartConnectors.connect(how.target()).withToken(how.token());
    if (how.tls() && how.caFile().isEmpty()) {
      connect.withTls();
    } else if (how.tls()) {
      connect.withTls(TlsChannelCredentials.newBuilder().trustManager(new File(how.caFile())).build());
    }
    return how.retries() ? connect : connect.withoutRetries();
  }

  private static Bid bidOf(List<String> bid) {
    return Bid.of(bid.get(1)).requestId(bid.get(0)).amount(bid.get(2)).predictedLtv(bid.get(3));
  }

  private List<String> place() {
    Bid bid = bidOf(step.bid());
    try {
      BidResponse result =
          switch (step.platform()) {
            case "google_ads" -> client.googleAds().placeBid(bid.onGoogleAds()).getResult();
            case "meta" -> client.meta().placeBid(bid.onMeta()).getResult();
            default -> client.tradeDesk().placeBid(bid.onTradeDesk()).getResult();
          };
      return List.of(ofResult(result));
    } catch (StatusRuntimeException failed) {
      ServiceError error = ServiceError.of(failed);
      List<String> lines = new ArrayList<>(List.of(ofRefusal(error)));
      error.violations().forEach(wrong -> lines.add("wrong: " + wrong.field()));
      error.budgetExceeded().ifPresent(veto -> lines.addAll(numbers(veto)));
      return lines;
    }
  }

  private List<String> watch() throws Exception {
    List<String> lines = new ArrayList<>();
    var request = WatchBudgetStatsRequest.newBuilder().addBudgetIds(step.budget()).build();
    // Who stops reading ends the call by its context.
    try (Context.CancellableContext reading = Context.current().withCancellation()) {
      return reading.call(
          () -> {
            var changes = client.budgets().watchBudgetStats(request);
            while (changes.hasNext()) {
              String committed = Money.format(changes.next().getStats().getCommittedMicros());
              if (lines.isEmpty()) {
                lines.add("committed " + committed);
                lines.addAll(place());
              }
              if (committed.equals(step.untilCommitted())) {
                lines.add("committed " + committed);
                return lines;
              }
            }
            return lines;
          });
    }
  }

  private List<String> stream() throws Exception {
    Map<String, String> said = new ConcurrentHashMap<>();
    CompletableFuture<Void> ended = new CompletableFuture<>();
    StreamObserver<StreamBidsRequest> bids =
        GoogleAdsServiceGrpc.newStub(client.channel())
            .streamBids(
                new StreamObserver<StreamBidsResponse>() {
                  @Override
                  public void onNext(StreamBidsResponse message) {
                    said.put(message.getAnswer().getRequestId(), ofAnswer(message.getAnswer()));
                  }

                  @Override
                  public void onError(Throwable failed) {
                    ended.completeExceptionally(failed);
                  }

                  @Override
                  public void onCompleted() {
                    ended.complete(null);
                  }
                });
    for (List<String> bid : step.bids()) {
      bids.onNext(StreamBidsRequest.newBuilder().setBid(bidOf(bid).onGoogleAds()).build());
    }
    bids.onCompleted();
    ended.get(30, TimeUnit.SECONDS);
    return step.bids().stream().map(bid -> bid.get(0) + " " + said.get(bid.get(0))).toList();
  }

  private List<String> batch() {
    PlaceBidsRequest.Builder request = PlaceBidsRequest.newBuilder();
    step.bids().forEach(bid -> request.addBids(bidOf(bid).onGoogleAds()));
    return client.googleAds().placeBids(request.build()).getAnswersList().stream()
        .map(answer -> answer.getRequestId() + " " + ofAnswer(answer))
        .toList();
  }

  private List<String> budget() {
    var request = GetBudgetStatsRequest.newBuilder().setBudgetId(step.budget()).build();
    var stats = client.budgets().getBudgetStats(request).getStats();
    return List.of(
        "committed %s of %s %s, deferred %s, remaining %s"
            .formatted(
                Money.format(stats.getCommittedMicros()),
                Money.format(stats.getLimitMicros()),
                stats.getCurrencyCode(),
                Money.format(stats.getDeferredMicros()),
                Money.format(stats.getRemainingMicros())));
  }

  private List<String> numbers(BudgetExceeded veto) {
    String numbers =
        "%s %s for %s: limit %s, committed %s, held %s, deferred %s, in doubt %s, remaining %s"
            .formatted(
                Money.format(veto.amount()),
                veto.currency(),
                veto.budgetId(),
                Money.format(veto.limit()),
                Money.format(veto.committed()),
                Money.format(veto.held()),
                Money.format(veto.deferred()),
                Money.format(veto.inDoubt()),
                Money.format(veto.remaining()));
    Optional<Duration> retryAfter = veto.retryAfter();
    if (retryAfter.isEmpty()) {
      return List.of(numbers, "no time is known");
    }
    boolean fits = retryAfter.get().compareTo(Duration.ofSeconds(step.fitsWithinS())) <= 0;
    String said = fits ? "within " + step.fitsWithinS() + " s" : "in " + retryAfter.get();
    return List.of(numbers, "fits " + said);
  }

  private static String ofAnswer(BidAnswer answer) {
    return answer.hasError()
        ? ofRefusal(ServiceError.of(answer.getError()))
        : ofResult(answer.getResponse().getResult());
  }

  private static String ofResult(BidResponse result) {
    return "%s source=%s %s %s%s"
        .formatted(
            result.getStatus().name().substring("BID_STATUS_".length()),
            result.getSource().name().substring("BID_SOURCE_".length()).toLowerCase(Locale.ROOT),
            Money.format(result.getBidMicros()),
            result.getCurrencyCode(),
            result.getReplayed() ? ", replayed" : "");
  }

  private static String ofRefusal(ServiceError error) {
    return "refused: " + (error.reasonName().isEmpty() ? "not reached" : error.reasonName());
  }
}
