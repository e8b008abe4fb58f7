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
	"tidegate/record"
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
			return run(cmd.Context(), file, c)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&routes, "print-routes", false, "print the commands that lead packets through datapath tun, and do nothing else")
	return cmd
}

// newLog returns a log and what sets its level.
func newLog(c config.Log) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	level.Set(levelOf(c))
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o)), level
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o)), level
}

// run takes what the gateway needs from the host, step by step, forwards, and
// gives everything back in reverse, also when a step fails.
func run(ctx context.Context, file string, c *config.Config) (err error) {
	signal.Ignore(syscall.SIGPIPE) // whoever reads the log may go; forwarding goes on
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	s := &service{file: file, started: time.Now()}
	s.log, s.level = newLog(c.Log)
	defer func() { err = errors.Join(err, s.close()) }()
	mine, err := claim()
	if err != nil {
		return err
	}
	s.add(mine.Close)
	if c.Reload.WatchFile {
		if s.watched, err = newFileWatch(file); err != nil {
			return err
		}
		s.add(s.watched.close)
	}
	listeners, err := s.listen(c.API)
	if err != nil {
		return err
	}
	s.add(func() error { return closeAll(listeners) })
	if err := s.open(c); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.path.unguard(s.running.Load(), err)) }()
	return s.serve(ctx, listeners, hup)
}

// open makes everything that packets need, and what looks at them.
func (s *service) open(c *config.Config) (err error) {
	p := newPlan(c, nil)
	s.inForce.Store(&inForce{config: c, plan: p, needs: p.needs(c), source: s.file, loaded: s.started})
	if s.path, err = openDatapath(c, p, s.log); err != nil {
		return err
	}
	s.add(s.path.close)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.path.unguard(false, err))
		}
	}()
	s.log.Info("datapath chosen", "datapath", s.path.name, "why", s.path.why)
	if s.gateway, err = newGateway(c, p, s.path, s.log); err != nil {
		return err
	}
	s.add(func() error { s.gateway.Close(); return nil })
	if s.records, err = newRecords(c.FlowRecords, s.gateway, s.log); err != nil {
		return err
	}
	s.checks, err = newChecks(p, s.gateway, s.path.source, s.log)
	return err
}

// listen opens the API's listeners, and reads the tokens that those which anybody can
// reach ask for.
func (s *service) listen(c config.API) (listeners []net.Listener, err error) {
	if c.TokenFile != "" {
		if s.tokens, err = server.LoadTokens(c.TokenFile); err != nil {
			return nil, err
		}
	}
	o := server.ListenOptions{CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile, Tokens: s.tokens, Log: s.log}
	if listeners, err = server.Listen(c.Listen, o); err != nil {
		return nil, err
	}
	for _, l := range listeners {
		if at, tcp := l.Addr().(*net.TCPAddr); tcp && !at.IP.IsLoopback() && c.TLS.CertFile == "" {
			s.log.Warn("tokens cross the network readable; give api.tls a certificate", "listener", at.String())
		}
	}
	return listeners, nil
}

func newRecords(c config.FlowRecords, g *gateway.Gateway, log *slog.Logger) (*record.Recorder, error) {
	o := record.Options{Gateway: g, Log: log}
	if c.File.Path != "" {
		o.File = &record.FileOptions{Path: c.File.Path, MaxSizeInMB: c.File.MaxSizeInMB, MaxFiles: c.File.MaxFiles}
	}
	if c.IPFIX.Collector != "" {
		o.IPFIX = &record.IPFIXOptions{
			Collector: c.IPFIX.Collector, Protocol: string(c.IPFIX.Protocol), ObservationDomainID: uint32(c.IPFIX.ObservationDomainID),
		}
	}
	return record.New(o)
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
