package io.github.smartconnectors;

import io.github.smartconnectors.common.v1.BidRequest;

/**
 * What most bids say, whatever the platform. {@link #onGoogleAds} and its siblings make the request
 * of it; what else a request can say is set there, by its {@code toBuilder()}.
 *
 * <pre>{@code
 * var bid = Bid.of("1001").amount("75.00").predictedLtv("450.00");
 * }</pre>
 */
public final class Bid {
  private final BidRequest request;

  private Bid(BidRequest request) {
    this.request = request;
  }

  /** A bid for the platform's campaign of this id. It has a random request id. */
  public static Bid of(String campaignId) {
    return new Bid(
        BidRequest.newBuilder()
            .setRequestId(SmartConnectors.newRequestId())
            .setCampaignId(campaignId)
            .build());
  }

  /** The same bid with this idempotency key. */
  public Bid requestId(String requestId) {
    return new Bid(request.toBuilder().setRequestId(requestId).build());
  }

  /**
   * The same bid with this amount to bid and to commit, in currency units. Without one the service
   * prices the bid.
   *
   * @throws IllegalArgumentException as {@link Money#micros(String)} does
   */
  public Bid amount(String amount) {
    return new Bid(request.toBuilder().setBidMicros(Money.micros(amount)).build());
  }

  /**
   * The same bid with what the customer is worth, in currency units.
   *
   * @throws IllegalArgumentException as {@link Money#micros(String)} does
   */
  public Bid predictedLtv(String amount) {
    return new Bid(request.toBuilder().setPredictedLtvMicros(Money.micros(amount)).build());
  }

  /** The request that places the bid on Google Ads. */
  public io.github.smartconnectors.googleads.v1.PlaceBidRequest onGoogleAds() {
    return io.github.smartconnectors.googleads.v1.PlaceBidRequest.newBuilder().setBid(request).build();
  }

  /** The request that places the bid on Meta. */
  public io.github.smartconnectors.meta.v1.PlaceBidRequest onMeta() {
    return io.github.smartconnectors.meta.v1.PlaceBidRequest.newBuilder().setBid(request).build();
  }

  /** The request that places the bid on The Trade Desk. */
  public io.github.smartconnectors.tradedesk.v1.PlaceBidRequest onTradeDesk() {
    return io.github.smartconnectors.tradedesk.v1.PlaceBidRequest.newBuilder().setBid(request).build();
  }
}
