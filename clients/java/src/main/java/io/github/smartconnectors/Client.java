package io.github.smartconnectors;

import io.github.smartconnectors.budgets.v1.BudgetServiceGrpc;
import io.github.smartconnectors.budgets.v1.BudgetServiceGrpc.BudgetServiceBlockingStub;
import io.github.smartconnectors.googleads.v1.GoogleAdsServiceGrpc;
import io.github.smartconnectors.googleads.v1.GoogleAdsServiceGrpc.GoogleAdsServiceBlockingStub;
import io.github.smartconnectors.meta.v1.MetaServiceGrpc;
import io.github.smartconnectors.meta.v1.MetaServiceGrpc.MetaServiceBlockingStub;
import io.github.smartconnectors.tradedesk.v1.TradeDeskServiceGrpc;
import io.github.smartconnectors.tradedesk.v1.TradeDeskServiceGrpc.TradeDeskServiceBlockingStub;
import io.grpc.ManagedChannel;

/**
 * A channel and the services over it, for callers that wait for each answer; {@link
 * SmartConnectors#open} makes it. Threads may share it. A call that fails throws a {@link
 * io.grpc.StatusRuntimeException}; {@link ServiceError#of(io.grpc.StatusRuntimeException)} reads it.
 */
public final class Client implements AutoCloseable {
  private final ManagedChannel channel;

  Client(ManagedChannel channel) {
    this.channel = channel;
  }

  /** Bids on Google Ads. */
  public GoogleAdsServiceBlockingStub googleAds() {
    return GoogleAdsServiceGrpc.newBlockingStub(channel);
  }

  /** Bids on Meta. */
  public MetaServiceBlockingStub meta() {
    return MetaServiceGrpc.newBlockingStub(channel);
  }

  /** Bids on The Trade Desk. */
  public TradeDeskServiceBlockingStub tradeDesk() {
    return TradeDeskServiceGrpc.newBlockingStub(channel);
  }

  /** What budgets have left. */
  public BudgetServiceBlockingStub budgets() {
    return BudgetServiceGrpc.newBlockingStub(channel);
  }

  /** The channel, for stubs of another kind: streams of bids want an asynchronous one. */
  public ManagedChannel channel() {
    return channel;
  }

  /** Ends it. Calls under way go on to their own end. */
  @Override
  public void close() {
    channel.shutdown();
  }
}
