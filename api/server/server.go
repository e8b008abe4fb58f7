// Package server answers for a running gateway over HTTP: /healthz, /readyz,
// /metrics, /openapi.json and /v1.
//
// Handlers run beside forwarding and take the gateway's lock only for its own
// slices, never across a write to a client. What a request asks for is parsed
// by package api, for which this package is the other end; the routes and
// OpenAPI come from its types. Every error is an RFC 9457 problem.
//
// Whoever reaches a unix socket, which has permissions, or loopback may do all there
// is. Everybody else needs a token: see Tokens.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/sync/errgroup"

	"tidegate/api"
	"tidegate/api/server/ui"
	"tidegate/gateway"
	"tidegate/probe"
)

// Options is everything a Server is made of. Functions may be nil but for Ready.
type Options struct {
	Gateway        *gateway.Gateway
	Drops          func() map[string]uint64 // packets lost outside the gateway, by reason
	Probes         func() []probe.Status    // what is known of each probe's targets
	Version        string
	Datapath       string
	DatapathReason string
	Started        time.Time
	Ready          func() error // nil when packets flow
	Metrics        http.Handler
	Tokens         *Tokens // of those who come over other listeners than unix sockets and loopback; nil: they can't
	Log            *slog.Logger

	// The configuration. Errors that are an *api.Problem are answered as they are, the
	// others as 500. The format is json or yaml.
	ConfigStatus func() api.ConfigStatus
	Config       func() any                                   // the one in force, as encoding/json writes it
	Apply        func(format string, body []byte) error       // puts one in force, or leaves all as it is
	Check        func(format string, body []byte) error       // says what Apply would
	Position     func(t gateway.RuleType, name string) string // of a rule: tidegate.yaml:23, or ""
}

// Server is an http.Handler over one gateway. It is safe for concurrent use.
type Server struct {
	Options
	handler  http.Handler
	streams  chan struct{} // has a place for each
	captures atomic.Int32  // how many run
	changing sync.Mutex    // the configuration
	idleAges idleAges
	epoch    atomic.Int64 // of the gateway's clock, in nanoseconds since 1970; see wall
}

// Limits for clients, all of which are near and ask for little.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second // a page of 10,000 flows to a slow terminal
	nearIdle      = 2 * time.Minute  // a scrape a minute keeps its connection
	farIdle       = 15 * time.Second // the dashboard keeps its own; those who are far have few, see perSource
	maxHeader     = 16 << 10         // bytes
	maxBody       = 1 << 20          // bytes
	bodyLimit     = maxBody + 1      // where reading stops: one that long is too long
	grace         = time.Second      // for requests in flight when the server stops, and for who has connected and said nothing
)

// New makes a Server; Serve it on the listeners that Listen opens.
func New(o Options) *Server {
	s := &Server{Options: o, streams: make(chan struct{}, maxStreams)}
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Tidegate", o.Version)
	config.DocsPath, config.SchemasPath, config.OpenAPIPath = "", "", "" // only specification's
	config.CreateHooks = nil                                             // no $schema in answers
	config.Transformers = []huma.Transformer{brief}
	routes := humago.New(mux, config)
	s.routeHealth(mux)
	s.routeStatus(routes)
	s.routeFlows(routes)
	s.routePorts(routes)
	s.routeBackends(routes)
	s.routeExplain(routes)
	s.routeEvents(routes)
	s.routeIdle(routes)
	s.routeConfig(routes)
	s.routeCapture(routes)
	mux.Handle("GET /metrics", o.Metrics)
	dashboard := ui.Handler()
	mux.Handle("GET /{$}", dashboard)
	mux.Handle("GET /ui/", dashboard)
	document(routes.OpenAPI())
	mux.Handle("GET /openapi.json", specification(routes.OpenAPI()))
	s.handler = s.guarded(problemMux{mux})
	return s
}

// guarded keeps out what is too long, and whoever may not ask.
func (s *Server) guarded(next http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection() // no web page may end flows through its visitor
	sameOrigin.SetDenyHandler(http.HandlerFunc(denyCrossOrigin))
	return http.MaxBytesHandler(ownName(&access{tokens: s.Tokens, next: ownPages(sameOrigin.Handler(next))}), bodyLimit)
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Serve answers on all listeners until ctx is done or one fails, lets requests
// in flight finish, and closes the listeners, which removes unix sockets.
func (s *Server) Serve(ctx context.Context, listeners []net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		server := s.httpServer(ctx, l)
		group.Go(func() error {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("api: serve %v: %w", l.Addr(), err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			return stop(server)
		})
	}
	return group.Wait()
}

// httpServer is for one listener: who is far may be idle for less long.
func (s *Server) httpServer(ctx context.Context, l net.Listener) *http.Server {
	idle := farIdle
	if near(l.Addr()) {
		idle = nearIdle
	}
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idle,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		BaseContext:       func(l net.Listener) context.Context { return withListener(ctx, l) }, // what goes on and on ends with ctx
	}
}

func stop(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return server.Close() // the client that is still being answered loses
	}
	return nil
}
