package smartconnectors

import (
	"google.golang.org/grpc"

	budgetsv1 "github.com/smart-connectors/smart-connectors/clients/go/budgets/v1"
	googleadsv1 "github.com/smart-connectors/smart-connectors/clients/go/googleads/v1"
	metav1 "github.com/smart-connectors/smart-connectors/clients/go/meta/v1"
	tradedeskv1 "github.com/smart-connectors/smart-connectors/clients/go/tradedesk/v1"
)

// Client is a connection and the services over it. Goroutines may share it.
type Client struct {
	// GoogleAds takes bids for Google Ads.
	GoogleAds googleadsv1.GoogleAdsServiceClient
	// Meta takes bids for Meta.
	Meta metav1.MetaServiceClient
	// TradeDesk takes bids for The Trade Desk.
	TradeDesk tradedeskv1.TradeDeskServiceClient
	// Budgets says what budgets have left.
	Budgets budgetsv1.BudgetServiceClient

	conn *grpc.ClientConn
}

// Connect makes a client of "host:port", or of any target that gRPC resolves. It connects with the
// first call, and fails when Dial does.
func Connect(target string, opts ...Option) (*Client, error) {
	conn, err := Dial(target, opts...)
	if err != nil {
		return nil, err
	}
	return &Client{
		GoogleAds: googleadsv1.NewGoogleAdsServiceClient(conn),
		Meta:      metav1.NewMetaServiceClient(conn),
		TradeDesk: tradedeskv1.NewTradeDeskServiceClient(conn),
		Budgets:   budgetsv1.NewBudgetServiceClient(conn),
		conn:      conn,
	}, nil
}

// Close ends it. Calls under way fail; a bid that was sent goes on, and a retry tells.
func (c *Client) Close() error { return c.conn.Close() }

// Must is for short programs that have nothing to do when a call fails: it returns the value, or
// panics with the error.
func Must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
