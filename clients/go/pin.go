package smartconnectors

import (
	"context"
	"regexp"

	"google.golang.org/grpc/metadata"

	commonv1 "github.com/smart-connectors/smart-connectors/clients/go/common/v1"
)

// Pin is the metadata that a proxy in front of servers with a ledger each pins by. PlaceBid says its
// request id there, so that every try of a bid reaches the same server; who has set it already, for
// instance for a batch, keeps that.
const Pin = "x-request-id"

var header = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// pinned leaves an id that the service refuses to the service.
func pinned(ctx context.Context, request any) context.Context {
	asked, bids := request.(interface{ GetBid() *commonv1.BidRequest })
	if !bids || !header.MatchString(asked.GetBid().GetRequestId()) {
		return ctx
	}
	if said, _ := metadata.FromOutgoingContext(ctx); len(said.Get(Pin)) > 0 {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, Pin, asked.GetBid().GetRequestId())
}
