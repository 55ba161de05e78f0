package smartconnectors_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	smartconnectors "github.com/smart-connectors/smart-connectors/clients/go"
	commonv1 "github.com/smart-connectors/smart-connectors/clients/go/common/v1"
	googleadsv1 "github.com/smart-connectors/smart-connectors/clients/go/googleads/v1"
)

func TestAmountsAreReadAndWrittenExactly(t *testing.T) {
	for text, micros := range map[string]smartconnectors.Micros{
		"75.00":          75_000_000,
		"0.00":           0,
		"0.000001":       1,
		"0.10":           100_000,
		"123.4567":       123_456_700,
		"1000000000.00":  1_000_000_000_000_000,
		"999999999.9999": 999_999_999_999_900,
	} {
		read, err := smartconnectors.ParseAmount(text)
		if err != nil || read != micros {
			t.Errorf("%s was read as %d (%v), not as %d", text, read, err, micros)
		}
		if micros.String() != text {
			t.Errorf("%d was written as %s, not as %s", micros, micros, text)
		}
	}
	if lowest := smartconnectors.Micros(math.MinInt64).String(); lowest != "-9223372036854.775808" {
		t.Errorf("the lowest amount was written as %s", lowest)
	}
}

func TestWhatIsNoPlainAmountIsRefused(t *testing.T) {
	for _, text := range []string{"", ".", "1.", "-1", "+1", "1e3", "1,000.00", "0.0000001", " 1",
		"1000000000.000001", "٣", "1_000", "0x10", "NaN", "99999999999999999999"} {
		if micros, err := smartconnectors.ParseAmount(text); err == nil {
			t.Errorf("%q was read as %d", text, micros)
		}
	}
}

func TestARequestIDIsOneThatTheServiceTakesAndNoTwoAreTheSame(t *testing.T) {
	taken := regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
	first, second := smartconnectors.NewRequestID(), smartconnectors.NewRequestID()
	if !taken.MatchString(first) || first == second {
		t.Errorf("request ids %q and %q", first, second)
	}
}

func TestATokenDoesNotLeaveThisMachineInPlainText(t *testing.T) {
	for target, here := range map[string]bool{
		"127.0.0.1:50051": true, "localhost:1": true, "[::1]:1": true, "unix:/tmp/s": true,
		"dns:///localhost:1": true, "example.test:1": false, "10.0.0.1:1": false,
		"dns:///example.test:1": false, "localhost.example.test:1": false,
	} {
		conn, err := smartconnectors.Dial(target, smartconnectors.WithToken("t"))
		if (err == nil) != here {
			t.Errorf("%s: %v", target, err)
		}
		if conn != nil {
			conn.Close()
		}
		conn, err = smartconnectors.Dial(target, smartconnectors.WithToken("t"), smartconnectors.WithTLS(nil))
		if err != nil {
			t.Errorf("%s with TLS: %v", target, err)
		} else {
			conn.Close()
		}
	}
}

func TestATokenIsTrimmedAndOneThatNoHeaderCarriesIsRefusedWithoutRepeatingIt(t *testing.T) {
	service := &scripted{}
	client := serve(t, service, smartconnectors.WithToken("\ufeffsecret\r\n\u00a0"))
	if _, err := client.PlaceBid(within(t), &googleadsv1.PlaceBidRequest{}); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(service.tokens) != "[Bearer secret]" {
		t.Errorf("tokens: %q", service.tokens)
	}
	for _, token := range []string{"two words", "a\x00b", "caf\u00e9", " \n"} {
		_, err := smartconnectors.Dial("127.0.0.1:1", smartconnectors.WithToken(token))
		if err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v", token, err)
		}
	}
}

// scripted answers each call with the next error; without one, with what it was asked.
type scripted struct {
	googleadsv1.UnimplementedGoogleAdsServiceServer
	errors []error
	ids    []string
	tokens []string
	pins   []string
}

func (s *scripted) PlaceBid(ctx context.Context, request *googleadsv1.PlaceBidRequest) (
	*googleadsv1.PlaceBidResponse, error) {
	s.ids = append(s.ids, request.GetBid().GetRequestId())
	said, _ := metadata.FromIncomingContext(ctx)
	s.tokens = append(s.tokens, said.Get("authorization")...)
	s.pins = append(s.pins, said.Get(smartconnectors.Pin)...)
	if len(s.errors) > 0 {
		next := s.errors[0]
		s.errors = s.errors[1:]
		return nil, next
	}
	return &googleadsv1.PlaceBidResponse{}, nil
}

func (s *scripted) StreamBids(stream googleadsv1.GoogleAdsService_StreamBidsServer) error {
	if len(s.errors) > 0 {
		return s.errors[0]
	}
	return nil
}

func refusal(t *testing.T) error {
	t.Helper()
	said, err := status.New(codes.ResourceExhausted, "does not fit").WithDetails(
		&errdetails.ErrorInfo{Reason: "BUDGET_EXCEEDED", Domain: "smartconnectors", Metadata: map[string]string{
			"budget_id": "google_ads", "amount_micros": "300000000", "limit_micros": "500000000",
			"committed_micros": "275000000", "held_micros": "1", "remaining_micros": "224999999",
			"currency_code": "USD",
		}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(372 * time.Second)},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "bid.bid_micros", Description: "less, please"}}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return said.Err()
}

// serve starts the server on a socket and connects to it.
func serve(t *testing.T, service *scripted, opts ...smartconnectors.Option) googleadsv1.GoogleAdsServiceClient {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	googleadsv1.RegisterGoogleAdsServiceServer(server, service)
	healthv1.RegisterHealthServer(server, health.NewServer())
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := smartconnectors.Dial(listener.Addr().String(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return googleadsv1.NewGoogleAdsServiceClient(conn)
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestAVetoComesWithItsReasonItsNumbersAndItsTime(t *testing.T) {
	client := serve(t, &scripted{errors: []error{refusal(t)}})
	_, err := client.PlaceBid(within(t), &googleadsv1.PlaceBidRequest{})

	err = fmt.Errorf("bidding: %w", err)
	var failed *smartconnectors.Error
	if !errors.As(err, &failed) {
		t.Fatalf("%T: %v", err, err)
	}
	if failed.Reason != commonv1.ErrorReason_ERROR_REASON_BUDGET_EXCEEDED || failed.MayRetry() {
		t.Errorf("%v, may retry: %v", failed.Reason, failed.MayRetry())
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the status was lost: %v", status.Code(err))
	}
	if len(failed.Violations) != 1 || failed.Violations[0].Field != "bid.bid_micros" {
		t.Errorf("violations: %v", failed.Violations)
	}
	veto, ok := smartconnectors.AsBudgetExceeded(err)
	expected := smartconnectors.BudgetExceeded{
		BudgetID: "google_ads", Currency: "USD", Amount: 300_000_000, Limit: 500_000_000,
		Committed: 275_000_000, Held: 1, Remaining: 224_999_999, RetryAfter: 372 * time.Second,
	}
	if !ok || veto != expected {
		t.Errorf("%+v", veto)
	}
}

func TestACallThatNoServerCarriedOutIsTriedAgainWithTheSameID(t *testing.T) {
	away := status.Error(codes.Unavailable, "away")
	service := &scripted{errors: []error{away, away}}
	client := serve(t, service, smartconnectors.WithToken("secret"))
	request := &googleadsv1.PlaceBidRequest{Bid: &commonv1.BidRequest{RequestId: "once"}}
	if _, err := client.PlaceBid(within(t), request); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(service.ids) != "[once once once]" {
		t.Errorf("request ids: %v", service.ids)
	}
	if fmt.Sprint(service.tokens) != "[Bearer secret Bearer secret Bearer secret]" {
		t.Errorf("tokens: %v", service.tokens)
	}
}

func TestEveryTryOfABidCarriesItsIDForProxies(t *testing.T) {
	service := &scripted{errors: []error{status.Error(codes.Unavailable, "away")}}
	client := serve(t, service)
	request := &googleadsv1.PlaceBidRequest{Bid: &commonv1.BidRequest{RequestId: "order-1"}}
	if _, err := client.PlaceBid(within(t), request); err != nil {
		t.Fatal(err)
	}
	ours := metadata.AppendToOutgoingContext(within(t), smartconnectors.Pin, "a-batch")
	if _, err := client.PlaceBid(ours, request); err != nil {
		t.Fatal(err)
	}
	request.Bid.RequestId = "no header\n"
	if _, err := client.PlaceBid(within(t), request); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(service.pins) != "[order-1 order-1 a-batch]" {
		t.Errorf("pins: %v", service.pins)
	}
}

func TestNothingButUnavailableIsTriedAgain(t *testing.T) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if code == codes.Unavailable {
			continue
		}
		service := &scripted{errors: []error{status.Error(code, "no")}}
		client := serve(t, service)
		if _, err := client.PlaceBid(within(t), &googleadsv1.PlaceBidRequest{}); err == nil {
			t.Errorf("%v was retried", code)
		}
		if len(service.ids) != 1 {
			t.Errorf("%v: %d calls", code, len(service.ids))
		}
	}
}

func TestRetriesCanBeTheCallersOwn(t *testing.T) {
	service := &scripted{errors: []error{status.Error(codes.Unavailable, "away")}}
	client := serve(t, service, smartconnectors.WithoutRetries())
	_, err := client.PlaceBid(within(t), &googleadsv1.PlaceBidRequest{})
	var failed *smartconnectors.Error
	if !errors.As(err, &failed) || !failed.MayRetry() || len(service.ids) != 1 {
		t.Errorf("%v after %d calls", err, len(service.ids))
	}
}

func TestAStreamEndsWithTheServicesErrorOrWithTheEnd(t *testing.T) {
	for _, expected := range []error{io.EOF, refusal(t)} {
		service := &scripted{}
		if expected != io.EOF {
			service.errors = []error{expected}
		}
		stream, err := serve(t, service).StreamBids(within(t))
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		if expected == io.EOF {
			if err != io.EOF {
				t.Errorf("%v", err)
			}
		} else if _, ok := smartconnectors.AsBudgetExceeded(err); !ok {
			t.Errorf("%T: %v", err, err)
		}
	}
}

func TestARefusedBidOfABatchReadsLikeARefusedCall(t *testing.T) {
	failed := smartconnectors.FromBidError(&commonv1.BidError{
		Code: 8, Reason: commonv1.ErrorReason_ERROR_REASON_BUDGET_EXCEEDED, Message: "does not fit",
		Metadata: map[string]string{"limit_micros": "500000000"}, RetryAfter: durationpb.New(time.Second),
		Violations: []*commonv1.FieldViolation{{Field: "bid", Description: "d"}},
	})
	veto, ok := smartconnectors.AsBudgetExceeded(failed)
	if !ok || veto.Limit != 500*smartconnectors.Unit || veto.RetryAfter != time.Second {
		t.Errorf("%+v", veto)
	}
	if failed.Error() != "BUDGET_EXCEEDED: does not fit" || status.Code(failed) != codes.ResourceExhausted {
		t.Errorf("%v", failed)
	}
}

func TestDetailsOfAnotherServiceAreNotTakenForOurs(t *testing.T) {
	said, _ := status.New(codes.ResourceExhausted, "proxy").WithDetails(
		&errdetails.ErrorInfo{Reason: "BUDGET_EXCEEDED", Domain: "example.test"})
	var failed *smartconnectors.Error
	if !errors.As(smartconnectors.FromError(said.Err()), &failed) || failed.ReasonName != "" {
		t.Errorf("%+v", failed)
	}
}

func TestAServerThatIsNotServingIsNotAsked(t *testing.T) {
	service := &scripted{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, state := grpc.NewServer(), health.NewServer()
	state.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	googleadsv1.RegisterGoogleAdsServiceServer(server, service)
	healthv1.RegisterHealthServer(server, state)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := smartconnectors.Dial(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	client := googleadsv1.NewGoogleAdsServiceClient(conn)

	_, err = client.PlaceBid(within(t), &googleadsv1.PlaceBidRequest{})
	if status.Code(err) != codes.Unavailable || len(service.ids) != 0 {
		t.Errorf("%v after %d calls", err, len(service.ids))
	}
	state.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
	_, err = client.PlaceBid(within(t), &googleadsv1.PlaceBidRequest{}, grpc.WaitForReady(true))
	if err != nil || len(service.ids) != 1 {
		t.Errorf("%v after %d calls", err, len(service.ids))
	}
}
