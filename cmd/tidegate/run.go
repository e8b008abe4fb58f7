package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tidegate/api/server"
	"tidegate/config"
	"tidegate/gateway"
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
			return run(cmd.Context(), file, c, newLog(c.Log))
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
func run(ctx context.Context, file string, c *config.Config, log *slog.Logger) (err error) {
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may go; forwarding goes on
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	var taken undo
	defer func() { err = errors.Join(err, taken.close()) }()
	mine, err := claim()
	if err != nil {
		return err
	}
	taken.add(mine.Close)
	listeners, err := server.Listen(c.API.Listen)
	if err != nil {
		return err
	}
	taken.add(func() error { return closeAll(listeners) })
	s := &service{config: c, plan: newPlan(c), file: file, log: log}
	if s.path, err = openDatapath(c, s.plan, log); err != nil {
		return err
	}
	taken.add(s.path.close)
	defer func() { err = errors.Join(err, s.path.unguard(s.running.Load(), err)) }()
	log.Info("datapath chosen", "datapath", s.path.name, "why", s.path.why)
	if s.gateway, err = newGateway(c, s.plan, s.path, log); err != nil {
		return err
	}
	taken.add(func() error { s.gateway.Close(); return nil })
	if s.checks, err = newChecks(s.plan, s.gateway, s.path.source, log); err != nil {
		return err
	}
	return s.serve(ctx, listeners, hup)
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
	policy, err := nat.NewPolicy(p.nat)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	return gateway.New(gateway.Options{
		MaxFlows: c.Gateway.MaxFlows, Timers: p.timers, Rules: p.rules, Names: p.names, Policy: policy, Pools: p.pools,
		Workers: path.workers, Control: path.control, Changed: path.changed,
		Now: func() int64 { return int64(time.Since(start)) }, Log: log,
	})
}
