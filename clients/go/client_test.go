package smartconnectors_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	smartconnectors "github.com/smart-connectors/smart-connectors/clients/go"
	googleadsv1 "github.com/smart-connectors/smart-connectors/clients/go/googleads/v1"
)

func TestABidIsTheSameOnEveryPlatform(t *testing.T) {
	bid := smartconnectors.Bid{RequestID: "r", CampaignID: "1001",
		Amount: 75 * smartconnectors.Unit, PredictedLTV: 450 * smartconnectors.Unit}
	for _, request := range []interface {
		GetRequestId() string
		GetCampaignId() string
		GetBidMicros() int64
		GetPredictedLtvMicros() int64
	}{bid.OnGoogleAds().GetBid(), bid.OnMeta().GetBid(), bid.OnTradeDesk().GetBid()} {
		if request.GetRequestId() != "r" || request.GetCampaignId() != "1001" ||
			request.GetBidMicros() != 75_000_000 || request.GetPredictedLtvMicros() != 450_000_000 {
			t.Errorf("%v", request)
		}
	}
}

func TestABidWithoutAnAmountIsPricedByTheService(t *testing.T) {
	if bid := (smartconnectors.Bid{CampaignID: "1001"}).OnGoogleAds().GetBid(); bid.BidMicros != nil {
		t.Errorf("%v", bid)
	}
}

func TestABidWithoutAnIDGetsAnotherOneWithEachRequest(t *testing.T) {
	bid := smartconnectors.Bid{CampaignID: "1001"}
	first, second := bid.OnMeta().GetBid().GetRequestId(), bid.OnMeta().GetBid().GetRequestId()
	if first == "" || first == second {
		t.Errorf("request ids %q and %q", first, second)
	}
}

func TestAClientPlacesABid(t *testing.T) {
	service := &scripted{}
	client := smartconnectors.Must(smartconnectors.Connect(listen(t, service)))
	defer client.Close()
	bid := smartconnectors.Bid{RequestID: "once", CampaignID: "1001"}
	smartconnectors.Must(client.GoogleAds.PlaceBid(within(t), bid.OnGoogleAds()))
	if len(service.ids) != 1 || service.ids[0] != "once" {
		t.Errorf("request ids: %v", service.ids)
	}
}

func TestAClientIsRefusedWhereDialIs(t *testing.T) {
	if _, err := smartconnectors.Connect("example.test:1", smartconnectors.WithToken("t")); err == nil {
		t.Error("a token would have left this machine")
	}
}

func TestMustPanicsWithTheError(t *testing.T) {
	failed := errors.New("no")
	defer func() {
		if said := recover(); said != failed {
			t.Errorf("%v", said)
		}
	}()
	smartconnectors.Must(0, failed)
}

// counting counts the bids that reach it.
type counting struct {
	googleadsv1.UnimplementedGoogleAdsServiceServer
	bids atomic.Int64
}

func (c *counting) PlaceBid(context.Context, *googleadsv1.PlaceBidRequest) (
	*googleadsv1.PlaceBidResponse, error) {
	c.bids.Add(1)
	return &googleadsv1.PlaceBidResponse{}, nil
}

func TestBidsGoRoundTheServers(t *testing.T) {
	services := []*counting{{}, {}}
	both := resolver.State{}
	for _, service := range services {
		both.Addresses = append(both.Addresses, resolver.Address{Addr: listen(t, service)})
	}
	names := manual.NewBuilderWithScheme("both")
	names.InitialState(both)
	client := smartconnectors.Must(smartconnectors.Connect("both:///servers",
		smartconnectors.WithDialOptions(grpc.WithResolvers(names))))
	defer client.Close()
	for ctx := within(t); services[0].bids.Load() == 0 || services[1].bids.Load() == 0; {
		if _, err := client.GoogleAds.PlaceBid(ctx, &googleadsv1.PlaceBidRequest{}); err != nil {
			t.Fatalf("%v; %d and %d bids", err, services[0].bids.Load(), services[1].bids.Load())
		}
	}
}

// listen serves on a socket, and says where.
func listen(t *testing.T, service googleadsv1.GoogleAdsServiceServer) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	googleadsv1.RegisterGoogleAdsServiceServer(server, service)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}
