package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"tidegate/api/server"
	"tidegate/config"
	"tidegate/gateway"
	"tidegate/metrics"
)

// service is all that runs, once everything is there.
type service struct {
	config  *config.Config
	plan    *plan
	path    *datapath
	gateway *gateway.Gateway
	checks  *checks
	file    string // of the configuration
	ready   atomic.Bool
	running atomic.Bool // packets may have been forwarded

	reloaded atomic.Bool // the last attempt to read the configuration succeeded
	log      *slog.Logger
}

// serve runs all parts until ctx is done or one of them fails.
func (s *service) serve(ctx context.Context, listeners []net.Listener, hup <-chan os.Signal) error {
	s.running.Store(true)
	s.reloaded.Store(true)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.gateway.Run(ctx) })
	group.Go(func() error { return s.server().Serve(ctx, listeners) })
	for _, run := range s.path.run {
		group.Go(func() error { return run(ctx) })
	}
	group.Go(func() error { return s.checks.Run(ctx) })
	s.checks.settle(ctx, settleLimit)
	if ctx.Err() == nil {
		s.announce()
	}
	group.Go(func() error { return s.hangups(ctx, hup) })
	err := group.Wait()
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	s.log.Info("ended")
	return nil
}

// settleLimit is how long the first word of the probes is waited for: backends that
// nobody has asked get no flows.
const settleLimit = 2 * time.Second

// announce says, whatever the log level is, that packets flow.
func (s *service) announce() {
	s.ready.Store(true)
	newLog(config.Log{Level: "info", Format: s.config.Log.Format}).Info("ready",
		"datapath", s.path.name, "rules", len(s.plan.rules), "frontends", len(s.plan.names))
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // nobody to tell unless systemd started us
}

func (s *service) server() *server.Server {
	return server.New(server.Options{
		Gateway: s.gateway, Drops: s.path.drops, Probes: s.checks.Status, Version: version,
		Datapath: string(s.path.name), DatapathReason: s.path.why, Started: time.Now(),
		Ready: func() error {
			if !s.ready.Load() {
				return errors.New("starting")
			}
			return nil
		},
		Metrics: metrics.Handler(metrics.Options{
			Gateway: s.gateway, Drops: s.path.drops, Probes: s.checks.Status, Datapath: string(s.path.name),
			Reloaded: s.reloaded.Load,
		}),
		Log: s.log,
	})
}
