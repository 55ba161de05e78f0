package smartconnectors

import (
	commonv1 "github.com/smart-connectors/smart-connectors/clients/go/common/v1"
	googleadsv1 "github.com/smart-connectors/smart-connectors/clients/go/googleads/v1"
	metav1 "github.com/smart-connectors/smart-connectors/clients/go/meta/v1"
	tradedeskv1 "github.com/smart-connectors/smart-connectors/clients/go/tradedesk/v1"
)

// Bid is what most bids say, whatever the platform. OnGoogleAds and its siblings make the request
// of it; what else a request can say is set there. Keep the request for a retry: when there is no
// RequestID, each request that is made of the bid gets another one.
type Bid struct {
	// RequestID is the idempotency key. Empty: a random one.
	RequestID string
	// CampaignID is the platform's own id of the campaign.
	CampaignID string
	// Amount is what to bid and to commit. 0: the service prices it.
	Amount Micros
	// PredictedLTV is what the customer is worth. 0: no prediction.
	PredictedLTV Micros
}

// OnGoogleAds is the request that places the bid on Google Ads.
func (b Bid) OnGoogleAds() *googleadsv1.PlaceBidRequest {
	return &googleadsv1.PlaceBidRequest{Bid: b.request()}
}

// OnMeta is the request that places the bid on Meta.
func (b Bid) OnMeta() *metav1.PlaceBidRequest {
	return &metav1.PlaceBidRequest{Bid: b.request()}
}

// OnTradeDesk is the request that places the bid on The Trade Desk.
func (b Bid) OnTradeDesk() *tradedeskv1.PlaceBidRequest {
	return &tradedeskv1.PlaceBidRequest{Bid: b.request()}
}

func (b Bid) request() *commonv1.BidRequest {
	request := &commonv1.BidRequest{
		RequestId:          b.RequestID,
		CampaignId:         b.CampaignID,
		PredictedLtvMicros: int64(b.PredictedLTV),
	}
	if request.RequestId == "" {
		request.RequestId = NewRequestID()
	}
	if b.Amount != 0 {
		amount := int64(b.Amount)
		request.BidMicros = &amount
	}
	return request
}
