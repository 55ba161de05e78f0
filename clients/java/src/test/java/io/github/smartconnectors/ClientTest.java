package io.github.smartconnectors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.github.smartconnectors.common.v1.BidRequest;
import io.github.smartconnectors.googleads.v1.PlaceBidRequest;
import io.grpc.EquivalentAddressGroup;
import io.grpc.ManagedChannel;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.NameResolverRegistry;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
class ClientTest {
  @Test
  void aBidIsTheSameOnEveryPlatform() {
    Bid bid = Bid.of("1001").requestId("r").amount("75.00").predictedLtv("450.00");
    BidRequest said = bid.onGoogleAds().getBid();
    assertEquals(List.of("r", "1001"), List.of(said.getRequestId(), said.getCampaignId()));
    assertEquals(75_000_000, said.getBidMicros());
    assertEquals(450_000_000, said.getPredictedLtvMicros());
    assertEquals(said, bid.onMeta().getBid());
    assertEquals(said, bid.onTradeDesk().getBid());
  }

  @Test
  void aBidWithoutAnAmountIsPricedByTheService() {
    assertFalse(Bid.of("1001").onGoogleAds().getBid().hasBidMicros());
  }

  @Test
  void aBidKeepsItsRandomIdAndNoOtherHasIt() {
    Bid bid = Bid.of("1001");
    String id = bid.onMeta().getBid().getRequestId();
    assertEquals(id, bid.amount("1.00").onMeta().getBid().getRequestId());
    assertNotEquals(id, Bid.of("1001").onMeta().getBid().getRequestId());
  }

  @Test
  void aClientPlacesABidAndIsClosed() throws Exception {
    try (ScriptedServer server = new ScriptedServer()) {
      ManagedChannel channel;
      try (Client client = SmartConnectors.connect(server.target()).open()) {
        client.googleAds().placeBid(Bid.of("1001").requestId("once").onGoogleAds());
        channel = client.channel();
      }
      assertEquals(List.of("once"), server.requestIds());
      assertTrue(channel.isShutdown());
    }
  }

  @Test
  void aClientIsRefusedWhereAChannelIs() {
    SmartConnectors how = SmartConnectors.connect("example.test:1").withToken("t");
    assertThrows(IllegalStateException.class, how::open);
  }

  @Test
  void bidsGoRoundTheServers() throws Exception {
    try (ScriptedServer one = new ScriptedServer();
        ScriptedServer other = new ScriptedServer()) {
      NameResolverProvider names = new Fixed(List.of(one.port(), other.port()));
      NameResolverRegistry.getDefaultRegistry().register(names);
      try (Client client = SmartConnectors.connect("fixed:///servers").open()) {
        while (one.requestIds().isEmpty() || other.requestIds().isEmpty()) {
          client
              .googleAds()
              .withDeadlineAfter(10, TimeUnit.SECONDS)
              .placeBid(PlaceBidRequest.getDefaultInstance());
        }
      } finally {
        NameResolverRegistry.getDefaultRegistry().deregister(names);
      }
    }
  }

  /** Resolves {@code fixed:///anything} to ports of this machine. */
  private static final class Fixed extends NameResolverProvider {
    private final List<EquivalentAddressGroup> addresses;

    Fixed(List<Integer> ports) {
      this.addresses =
          ports.stream()
              .map(port -> new EquivalentAddressGroup(new InetSocketAddress("127.0.0.1", port)))
              .toList();
    }

    @Override
    public NameResolver newNameResolver(URI target, NameResolver.Args args) {
      return new NameResolver() {
        @Override
        public String getServiceAuthority() {
          return "servers";
        }

        @Override
        public void start(Listener2 listener) {
          listener.onResult(ResolutionResult.newBuilder().setAddresses(addresses).build());
        }

        @Override
        public void shutdown() {}
      };
    }

    @Override
    protected boolean isAvailable() {
      return true;
    }

    @Override
    protected int priority() {
      return 5;
    }

    @Override
    public String getDefaultScheme() {
      return "fixed";
    }
  }
}
