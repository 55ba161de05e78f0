package smartconnectors

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	commonv1 "github.com/smart-connectors/smart-connectors/clients/go/common/v1"
)

// Domain is the domain of the service's own reasons in google.rpc.ErrorInfo.
const Domain = "smartconnectors"

const reasonPrefix = "ERROR_REASON_"

// Violation is one field of the request that is wrong.
type Violation struct {
	// Field is its path in the request.
	Field string
	// Description says what is expected of it.
	Description string
}

// Error is a call that failed, or one bid of a batch or stream that was refused. Connections made
// by Dial return it from every call:
//
//	var failed *smartconnectors.Error
//	if errors.As(err, &failed) && failed.Reason == commonv1.ErrorReason_ERROR_REASON_RATE_LIMITED { ... }
type Error struct {
	// Code is the gRPC status code. Decide by Reason instead: gRPC emits some codes itself.
	Code codes.Code
	// Reason is why. Unspecified when the service itself did not answer: nothing listens there, or
	// the deadline passed.
	Reason commonv1.ErrorReason
	// ReasonName is the reason as the service wrote it, also one that is younger than this client.
	ReasonName string
	// Message is for a person.
	Message string
	// RetryAfter is when trying again can help, from now. 0: the service gave no time.
	RetryAfter time.Duration
	// Metadata has the numbers, as text.
	Metadata map[string]string
	// Violations are the fields that are wrong.
	Violations []Violation

	status *status.Status
}

// Error says what failed, and why.
func (e *Error) Error() string {
	if e.ReasonName == "" {
		return e.Code.String() + ": " + e.Message
	}
	return e.ReasonName + ": " + e.Message
}

// GRPCStatus is the status as it came, so that status.FromError goes on working.
func (e *Error) GRPCStatus() *status.Status {
	if e.status == nil {
		return status.New(e.Code, e.Message)
	}
	return e.status
}

// MayRetry reports whether the same request, with the same request id, may be sent again to the
// same server, at once or after RetryAfter, without ever being carried out twice.
func (e *Error) MayRetry() bool {
	switch e.Reason {
	case commonv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN,
		commonv1.ErrorReason_ERROR_REASON_REQUEST_IN_PROGRESS:
		return true
	}
	return e.Code == codes.Unavailable
}

// BudgetExceeded is a veto with its numbers, in micros of Currency.
type BudgetExceeded struct {
	// BudgetID is the tightest budget that the amount does not fit.
	BudgetID string
	// Currency is its ISO 4217 code.
	Currency string
	// Amount is what was asked for.
	Amount Micros
	// Limit is the most that one window may have.
	Limit Micros
	// Committed is what the platforms accepted inside the window.
	Committed Micros
	// Held is reserved for calls that are under way.
	Held Micros
	// Deferred is reserved for bids that wait for the circuit breaker.
	Deferred Micros
	// InDoubt was sent, with an outcome that is not known yet.
	InDoubt Micros
	// Remaining still fits.
	Remaining Micros
	// RetryAfter is when the amount fits if nothing else is bid. 0: no time is known.
	RetryAfter time.Duration
}

// AsBudgetExceeded gives the numbers when err is a veto of a budget.
func AsBudgetExceeded(err error) (BudgetExceeded, bool) {
	var failed *Error
	if !errors.As(err, &failed) ||
		failed.Reason != commonv1.ErrorReason_ERROR_REASON_BUDGET_EXCEEDED {
		return BudgetExceeded{}, false
	}
	micros := func(name string) Micros {
		number, _ := strconv.ParseInt(failed.Metadata[name+"_micros"], 10, 64)
		return Micros(number)
	}
	return BudgetExceeded{
		BudgetID:   failed.Metadata["budget_id"],
		Currency:   failed.Metadata["currency_code"],
		Amount:     micros("amount"),
		Limit:      micros("limit"),
		Committed:  micros("committed"),
		Held:       micros("held"),
		Deferred:   micros("deferred"),
		InDoubt:    micros("in_doubt"),
		Remaining:  micros("remaining"),
		RetryAfter: failed.RetryAfter,
	}, true
}

// FromError is what a failed call says, read from its status details. It returns nil for nil, and
// an err that is none of gRPC's (io.EOF at the end of a stream, say) as it is.
func FromError(err error) error {
	var already *Error
	if err == nil || errors.As(err, &already) {
		return err
	}
	said, ok := status.FromError(err)
	if !ok {
		return err
	}
	failed := &Error{Code: said.Code(), Message: said.Message(), status: said}
	for _, detail := range said.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == Domain {
				failed.ReasonName = detail.GetReason()
				failed.Reason = reasonOf(detail.GetReason())
				failed.Metadata = detail.GetMetadata()
			}
		case *errdetails.RetryInfo:
			failed.RetryAfter = detail.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, wrong := range detail.GetFieldViolations() {
				failed.Violations = append(failed.Violations,
					Violation{wrong.GetField(), wrong.GetDescription()})
			}
		}
	}
	return failed
}

// FromBidError is why one bid of a batch or stream was refused.
func FromBidError(refused *commonv1.BidError) *Error {
	failed := &Error{
		Code:       codes.Code(refused.GetCode()),
		Reason:     refused.GetReason(),
		ReasonName: strings.TrimPrefix(refused.GetReason().String(), reasonPrefix),
		Message:    refused.GetMessage(),
		RetryAfter: refused.GetRetryAfter().AsDuration(),
		Metadata:   refused.GetMetadata(),
	}
	for _, wrong := range refused.GetViolations() {
		failed.Violations = append(failed.Violations,
			Violation{wrong.GetField(), wrong.GetDescription()})
	}
	return failed
}

func reasonOf(name string) commonv1.ErrorReason {
	return commonv1.ErrorReason(commonv1.ErrorReason_value[reasonPrefix+name])
}
