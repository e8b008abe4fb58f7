package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"tidegate/api"
	"tidegate/api/server"
	"tidegate/config"
	"tidegate/gateway"
	"tidegate/metrics"
	"tidegate/record"
)

// service is all that runs, once everything is there.
//
//	[I] immutable   [A] atomic
type service struct {
	undo                     // of what was taken from the host
	path    *datapath        // [I]
	gateway *gateway.Gateway // [I]
	checks  *checks          // [I]
	records *record.Recorder // [I]
	tokens  *server.Tokens   // [I] nil without api.tokenFile
	file    string           // [I] of the configuration
	watched *fileWatch       // [I] the same, nil if it is not to be watched
	log     *slog.Logger     // [I]
	level   *slog.LevelVar   // [I] of log
	started time.Time        // [I]

	ready   atomic.Bool // [A]
	running atomic.Bool // [A] packets may have been forwarded

	changing sync.Mutex // held while the configuration is being changed
	inForce  atomic.Pointer[inForce]
	rejected atomic.Pointer[error] // [A] why the last attempt to change it was not made; nil and &nil: it was
}

// serve runs all parts until ctx is done or one of them fails.
func (s *service) serve(ctx context.Context, listeners []net.Listener, hup <-chan os.Signal) error {
	s.running.Store(true)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.gateway.Run(ctx) })
	group.Go(func() error { return s.server().Serve(ctx, listeners) })
	group.Go(func() error { return s.records.Run(ctx) })
	for _, run := range s.path.run {
		group.Go(func() error { return run(ctx) })
	}
	group.Go(func() error { return s.checks.Run(ctx) })
	s.checks.settle(ctx, settleLimit)
	if ctx.Err() == nil {
		s.announce()
	}
	group.Go(func() error { return s.reloads(ctx, hup) })
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
	now := s.now()
	log, _ := newLog(config.Log{Level: "info", Format: now.config.Log.Format})
	log.Info("ready", "datapath", s.path.name, "rules", len(now.plan.rules), "frontends", len(now.plan.names))
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // nobody to tell unless systemd started us
}

func (s *service) server() *server.Server {
	return server.New(server.Options{
		Gateway: s.gateway, Drops: s.path.drops, Probes: s.checks.Status, Version: version,
		Datapath: string(s.path.name), DatapathReason: s.path.why, Started: s.started, Tokens: s.tokens,
		Ready: func() error {
			if !s.ready.Load() {
				return errors.New("starting")
			}
			return nil
		},
		Metrics: metrics.Handler(metrics.Options{
			Gateway: s.gateway, Drops: s.path.drops, Probes: s.checks.Status, Datapath: string(s.path.name),
			Reloaded: func() bool { return s.lastError() == nil }, Lost: s.records.Lost,
		}),
		ConfigStatus: s.configStatus, Config: func() any { return s.now().config.Tree() },
		Apply: s.applyConfig, Check: s.checkConfig, Position: s.position,
		Log: s.log,
	})
}

// lastError is why the last attempt to change the configuration failed, nil if it did not.
func (s *service) lastError() error {
	if err := s.rejected.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *service) configStatus() api.ConfigStatus {
	now := s.now()
	status := api.ConfigStatus{Source: now.source, Loaded: now.loaded}
	if err := s.lastError(); err != nil {
		status.LastError = oneLine(err)
	}
	return status
}

// sections are where the rules of a type may stand in the file. What an outbound rule
// is implied by has its name too.
var sections = map[gateway.RuleType][]string{
	gateway.OutboundRule:      {sectionOutboundRules, sectionLoadBalancingRules},
	gateway.InboundNATRule:    {sectionInboundNATRules, sectionInboundNATPools},
	gateway.LoadBalancingRule: {sectionLoadBalancingRules},
	gateway.InstancePublicIP:  {sectionInstancePublicIPs},
}

// position says where the configuration has a rule, "" if nowhere.
func (s *service) position(t gateway.RuleType, name string) string {
	now := s.now()
	if now.source == apiSource {
		return "" // a text that nobody has
	}
	for _, section := range sections[t] {
		if at := now.config.RulePosition(section, name); at != "" {
			return at
		}
	}
	return ""
}
