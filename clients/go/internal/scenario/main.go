// Command scenario plays tests/conformance/clients: it does the steps in the file that it is given,
// and prints what the client says of each.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	sc "github.com/smart-connectors/smart-connectors/clients/go"
	budgets "github.com/smart-connectors/smart-connectors/clients/go/budgets/v1"
	common "github.com/smart-connectors/smart-connectors/clients/go/common/v1"
	googleads "github.com/smart-connectors/smart-connectors/clients/go/googleads/v1"
)

type scenario struct {
	Connections map[string]connection `json:"connections"`
	Steps       []step                `json:"steps"`
}

type connection struct {
	Target  string `json:"target"`
	TLS     bool   `json:"tls"`
	CAFile  string `json:"ca_file"`
	Token   string `json:"token"`
	Retries bool   `json:"retries"`
}

type step struct {
	Name           string      `json:"name"`
	On             string      `json:"on"`
	Call           string      `json:"call"`
	Platform       string      `json:"platform"`
	Bid            [4]string   `json:"bid"`
	Bids           [][4]string `json:"bids"`
	Budget         string      `json:"budget"`
	UntilCommitted string      `json:"until_committed"`
	FitsWithinS    int         `json:"fits_within_s"`
}

type play func(context.Context, *sc.Client, step) []string

func main() {
	var all scenario
	if err := json.Unmarshal(sc.Must(os.ReadFile(os.Args[1])), &all); err != nil {
		panic(err)
	}
	calls := map[string]play{"place": place, "watch": watch, "stream": stream, "batch": batch, "budget": budget}
	for _, step := range all.Steps {
		client := connect(all.Connections[step.On])
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		for _, line := range calls[step.Call](ctx, client, step) {
			fmt.Printf("%s: %s\n", step.Name, line)
		}
		cancel()
		client.Close()
	}
}

func connect(how connection) *sc.Client {
	var options []sc.Option
	if how.TLS {
		trusted := &tls.Config{}
		if how.CAFile != "" {
			trusted.RootCAs = x509.NewCertPool()
			trusted.RootCAs.AppendCertsFromPEM(sc.Must(os.ReadFile(how.CAFile)))
		}
		options = append(options, sc.WithTLS(trusted))
	}
	if how.Token != "" {
		options = append(options, sc.WithToken(how.Token))
	}
	if !how.Retries {
		options = append(options, sc.WithoutRetries())
	}
	return sc.Must(sc.Connect(how.Target, options...))
}

func bidOf(bid [4]string) sc.Bid {
	return sc.Bid{RequestID: bid[0], CampaignID: bid[1],
		Amount: sc.Must(sc.ParseAmount(bid[2])), PredictedLTV: sc.Must(sc.ParseAmount(bid[3]))}
}

func place(ctx context.Context, client *sc.Client, step step) []string {
	var answer interface{ GetResult() *common.BidResponse }
	var err error
	switch bid := bidOf(step.Bid); step.Platform {
	case "google_ads":
		answer, err = client.GoogleAds.PlaceBid(ctx, bid.OnGoogleAds())
	case "meta":
		answer, err = client.Meta.PlaceBid(ctx, bid.OnMeta())
	case "trade_desk":
		answer, err = client.TradeDesk.PlaceBid(ctx, bid.OnTradeDesk())
	}
	if err != nil {
		return append([]string{refusal(err)}, numbers(err, step.FitsWithinS)...)
	}
	return []string{result(answer.GetResult())}
}

func watch(ctx context.Context, client *sc.Client, step step) []string {
	changes := sc.Must(client.Budgets.WatchBudgetStats(ctx,
		&budgets.WatchBudgetStatsRequest{BudgetIds: []string{step.Budget}}))
	var lines []string
	for {
		committed := sc.Micros(sc.Must(changes.Recv()).GetStats().GetCommittedMicros())
		if lines == nil {
			lines = append([]string{"committed " + committed.String()}, place(ctx, client, step)...)
		}
		if committed == sc.Must(sc.ParseAmount(step.UntilCommitted)) {
			return append(lines, "committed "+committed.String())
		}
	}
}

func stream(ctx context.Context, client *sc.Client, step step) []string {
	bids := sc.Must(client.GoogleAds.StreamBids(ctx))
	for _, bid := range step.Bids {
		sc.Must(0, bids.Send(&googleads.StreamBidsRequest{Bid: bidOf(bid).OnGoogleAds()}))
	}
	sc.Must(0, bids.CloseSend())
	said := map[string]string{}
	for {
		message, err := bids.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		answer := sc.Must(message, err).GetAnswer()
		said[answer.GetRequestId()] = answered(answer)
	}
	var lines []string
	for _, bid := range step.Bids {
		lines = append(lines, bid[0]+" "+said[bid[0]])
	}
	return lines
}

func batch(ctx context.Context, client *sc.Client, step step) []string {
	request := &googleads.PlaceBidsRequest{}
	for _, bid := range step.Bids {
		request.Bids = append(request.Bids, bidOf(bid).OnGoogleAds())
	}
	var lines []string
	for _, answer := range sc.Must(client.GoogleAds.PlaceBids(ctx, request)).GetAnswers() {
		lines = append(lines, answer.GetRequestId()+" "+answered(answer))
	}
	return lines
}

func budget(ctx context.Context, client *sc.Client, step step) []string {
	stats := sc.Must(client.Budgets.GetBudgetStats(ctx,
		&budgets.GetBudgetStatsRequest{BudgetId: step.Budget})).GetStats()
	return []string{fmt.Sprintf("committed %v of %v %s, deferred %v, remaining %v",
		sc.Micros(stats.GetCommittedMicros()), sc.Micros(stats.GetLimitMicros()), stats.GetCurrencyCode(),
		sc.Micros(stats.GetDeferredMicros()), sc.Micros(stats.GetRemainingMicros()))}
}

func answered(answer *googleads.BidAnswer) string {
	if refused := answer.GetError(); refused != nil {
		return refusal(sc.FromBidError(refused))
	}
	return result(answer.GetResponse().GetResult())
}

func result(result *common.BidResponse) string {
	replayed := ""
	if result.GetReplayed() {
		replayed = ", replayed"
	}
	return fmt.Sprintf("%s source=%s %v %s%s",
		strings.TrimPrefix(result.GetStatus().String(), "BID_STATUS_"),
		strings.ToLower(strings.TrimPrefix(result.GetSource().String(), "BID_SOURCE_")),
		sc.Micros(result.GetBidMicros()), result.GetCurrencyCode(), replayed)
}

func refusal(err error) string {
	var failed *sc.Error
	if !errors.As(err, &failed) {
		panic(err)
	}
	if failed.Reason == common.ErrorReason_ERROR_REASON_UNSPECIFIED {
		return "refused: not reached"
	}
	return "refused: " + failed.ReasonName
}

func numbers(err error, fitsWithinS int) (lines []string) {
	var failed *sc.Error
	errors.As(err, &failed)
	for _, wrong := range failed.Violations {
		lines = append(lines, "wrong: "+wrong.Field)
	}
	veto, ok := sc.AsBudgetExceeded(err)
	if !ok {
		return lines
	}
	lines = append(lines, fmt.Sprintf(
		"%v %s for %s: limit %v, committed %v, held %v, deferred %v, in doubt %v, remaining %v",
		veto.Amount, veto.Currency, veto.BudgetID, veto.Limit, veto.Committed, veto.Held,
		veto.Deferred, veto.InDoubt, veto.Remaining))
	switch longest := time.Duration(fitsWithinS) * time.Second; {
	case veto.RetryAfter == 0:
		return append(lines, "no time is known")
	case veto.RetryAfter <= longest:
		return append(lines, fmt.Sprintf("fits within %d s", fitsWithinS))
	}
	return append(lines, fmt.Sprintf("fits in %v", veto.RetryAfter))
}
