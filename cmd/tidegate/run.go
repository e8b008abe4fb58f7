package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"tidegate/api/server"
	"tidegate/config"
	"tidegate/gateway"
	"tidegate/metrics"
	"tidegate/nat"
)

func newRun() *cobra.Command {
	var file string
	var routes bool
	cmd := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Run the gateway in the foreground until SIGTERM or Ctrl-C",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(file)
			if err != nil {
				return err
			}
			if routes {
				return printRoutes(cmd.OutOrStdout(), c)
			}
			return run(cmd.Context(), c, newLog(c.Log))
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&routes, "print-routes", false, "print the commands that lead packets through datapath tun, and do nothing else")
	return cmd
}

func newLog(c config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // the configuration is validated
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}

// run takes what the gateway needs from the host, step by step, forwards, and
// gives everything back in reverse, also when a step fails.
func run(ctx context.Context, c *config.Config, log *slog.Logger) (err error) {
	var taken undo
	defer func() { err = errors.Join(err, taken.close()) }()
	listeners, err := server.Listen(c.API.Listen)
	if err != nil {
		return err
	}
	taken.add(func() error { return closeAll(listeners) })
	p := newPlan(c)
	path, err := openDatapath(c, p, log)
	if err != nil {
		return err
	}
	taken.add(path.close)
	log.Info("datapath chosen", "datapath", path.name, "why", path.why)
	g, err := newGateway(c, p, path, log)
	if err != nil {
		return err
	}
	taken.add(func() error { g.Close(); return nil })
	var ready atomic.Bool
	s := newServer(c, p, path, g, &ready, log)
	return serve(ctx, g, path, func(ctx context.Context) error { return s.Serve(ctx, listeners) }, func() {
		ready.Store(true)
		log.Info("ready", "datapath", path.name, "rules", len(p.rules), "frontends", len(p.frontends))
		_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // nobody to tell unless systemd started us
	}, log)
}

func closeAll(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func newGateway(c *config.Config, p *plan, path *datapath, log *slog.Logger) (*gateway.Gateway, error) {
	policy, err := nat.NewPolicy(p.frontends, p.outbound, p.inbound)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	return gateway.New(gateway.Options{
		MaxFlows: c.Gateway.MaxFlows, Timers: p.timers, Rules: p.rules, Policy: policy,
		Workers: path.workers, Control: path.control, Addresses: path.addresses, Changed: path.changed,
		Now: func() int64 { return int64(time.Since(start)) }, Log: log,
	})
}

func newServer(c *config.Config, p *plan, path *datapath, g *gateway.Gateway, ready *atomic.Bool, log *slog.Logger) *server.Server {
	return server.New(server.Options{
		Gateway: g, Frontends: p.names, Drops: path.drops, Version: version,
		Datapath: string(path.name), DatapathReason: path.why, Started: time.Now(),
		Ready: func() error {
			if !ready.Load() {
				return errors.New("starting")
			}
			return nil
		},
		Metrics: metrics.Handler(metrics.Options{Gateway: g, Frontends: p.names, Drops: path.drops, Datapath: string(path.name)}),
		Log:     log,
	})
}

// serve runs all parts until ctx is done or one of them fails.
func serve(ctx context.Context, g *gateway.Gateway, path *datapath, answer func(context.Context) error, ready func(), log *slog.Logger) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.Run(ctx) })
	group.Go(func() error { return answer(ctx) })
	if path.run != nil {
		group.Go(func() error { return path.run(ctx) })
	}
	group.Go(func() error { return hangups(ctx, log) })
	ready()
	err := group.Wait()
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	log.Info("ended")
	return nil
}

// hangups keeps a SIGHUP, which will reload one day, from ending the gateway.
func hangups(ctx context.Context, log *slog.Logger) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			log.Warn("SIGHUP ignored: this version does not reload; restart it to use a changed configuration")
		}
	}
}
