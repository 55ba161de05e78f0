// Package smartconnectors speaks to a smart connectors server: connections with retries, load
// balancing and health checks, errors with their reasons, exact money.
//
// The stubs are in the packages beside it: googleads/v1, meta/v1, tradedesk/v1, budgets/v1 and
// common/v1.
package smartconnectors

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"math"
	"net/netip"
	"strings"
	"unicode"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // client-side health checks
)

// ServiceConfig is what Dial applies: bids go round the healthy servers, and a call that no server
// carried out (UNAVAILABLE) is tried again, at the time that the server gave. A retry carries the
// same request id. For a target with several servers, see WithoutRetries.
const ServiceConfig = `{
  "loadBalancingConfig": [{"round_robin": {}}],
  "healthCheckConfig": {"serviceName": ""},
  "methodConfig": [{
    "name": [{}],
    "retryPolicy": {
      "maxAttempts": 4,
      "initialBackoff": "0.1s",
      "maxBackoff": "5s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  }]
}`

type options struct {
	tls     *tls.Config
	token   string
	retries bool
	more    []grpc.DialOption
}

// Option says how Dial connects.
type Option func(*options)

// WithTLS encrypts. nil: the authorities of the operating system vouch for the server.
func WithTLS(config *tls.Config) Option {
	return func(o *options) {
		if config == nil {
			config = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		o.tls = config
	}
}

// WithToken shows a bearer token with every call. Spaces and line breaks around it are taken off;
// Dial fails when what is left cannot be sent.
func WithToken(token string) Option {
	return func(o *options) { o.token = token }
}

// WithoutRetries leaves every retry to the caller. A connection that breaks in the middle of a call
// looks like UNAVAILABLE too, so it is for a target with several servers that do not share a
// ledger, and no proxy that pins by Pin: the request id is known to the one that took it, and to no
// other.
func WithoutRetries() Option {
	return func(o *options) { o.retries = false }
}

// WithDialOptions passes options on to gRPC; they win over Dial's own.
func WithDialOptions(more ...grpc.DialOption) Option {
	return func(o *options) { o.more = append(o.more, more...) }
}

// Dial makes a connection to "host:port", or to any target that gRPC resolves. It connects with the
// first call, and every call fails with an *Error. Close it when it is no longer needed.
//
// It fails when the target cannot be understood, and when a token would leave this machine in plain
// text.
func Dial(target string, opts ...Option) (*grpc.ClientConn, error) {
	chosen := options{retries: true}
	for _, opt := range opts {
		opt(&chosen)
	}
	dial := []grpc.DialOption{
		grpc.WithDefaultServiceConfig(ServiceConfig),
		// An answer is never too large: the bids in it have been placed.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
		grpc.WithChainUnaryInterceptor(typedUnary),
		grpc.WithChainStreamInterceptor(typedStream),
	}
	if !chosen.retries {
		dial = append(dial, grpc.WithDisableRetry())
	}
	encrypted := chosen.tls != nil
	if encrypted {
		dial = append(dial, grpc.WithTransportCredentials(credentials.NewTLS(chosen.tls)))
	} else {
		dial = append(dial, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	if chosen.token != "" {
		token := strings.TrimFunc(chosen.token, unseen)
		if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, errors.New("a token is one word of printable ASCII without spaces; this one is not")
		}
		if !encrypted && !staysHere(target) {
			return nil, errors.New("a token is not sent to " + target + " in plain text")
		}
		dial = append(dial, grpc.WithPerRPCCredentials(bearer{token, encrypted}))
	}
	return grpc.NewClient(target, append(dial, chosen.more...)...)
}

// unseen reports whether nobody sees r at the end of a token that was copied or read from a file.
func unseen(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune("\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u00ad", r)
}

// NewRequestID makes a random idempotency key. Send a retry with the same one.
func NewRequestID() string {
	return rand.Text()
}

// staysHere reports whether nobody else reads plain text to this target.
func staysHere(target string) bool {
	if strings.HasPrefix(target, "unix:") || strings.HasPrefix(target, "unix-abstract:") {
		return true
	}
	_, name, found := strings.Cut(target, ":///")
	if !found {
		name = target
	}
	host := name
	if colon := strings.LastIndex(name, ":"); colon >= 0 {
		host = name[:colon]
	}
	address, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || (err == nil && address.IsLoopback())
}

type bearer struct {
	token     string
	encrypted bool
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

// RequireTransportSecurity: Dial refused plain text to other machines already.
func (b bearer) RequireTransportSecurity() bool { return b.encrypted }

func typedUnary(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return FromError(invoke(pinned(ctx, request), method, request, reply, conn, opts...))
}

func typedStream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, FromError(err)
	}
	return typed{stream}, nil
}

type typed struct{ grpc.ClientStream }

func (s typed) SendMsg(message any) error { return FromError(s.ClientStream.SendMsg(message)) }

func (s typed) RecvMsg(message any) error { return FromError(s.ClientStream.RecvMsg(message)) }
