package main

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"tidegate/gateway"
	"tidegate/packet"
	"tidegate/probe"
)

// checks runs the probes of one plan at a time, and tells the gateway what they find.
type checks struct {
	gateway *gateway.Gateway
	source  func() netip.Addr
	log     *slog.Logger
	next    chan *plan // capacity 1: the plan that takes over
	prober  atomic.Pointer[probe.Prober]
}

// status returns what is known of each target.
func (c *checks) status() []probe.Status {
	if p := c.prober.Load(); p != nil {
		return p.Status()
	}
	return nil
}

// settle waits until every backend has been asked once, or for limit at most.
func (c *checks) settle(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for ctx.Err() == nil && slices.ContainsFunc(c.status(), func(s probe.Status) bool { return !s.Known }) {
		select {
		case <-ctx.Done():
		case <-time.After(settleEvery):
		}
	}
}

const settleEvery = 5 * time.Millisecond

// newChecks makes the first prober, so that what can't be probed fails the start.
func newChecks(p *plan, g *gateway.Gateway, source func() netip.Addr, log *slog.Logger) (*checks, error) {
	c := &checks{gateway: g, source: source, log: log, next: make(chan *plan, 1)}
	return c, c.adopt(p)
}

func (c *checks) adopt(p *plan) error {
	prober, err := probe.New(probe.Options{
		Specs: p.probes, Targets: p.targets(), Known: c.status(), Source: c.source, Log: c.log,
		Changed: func(t probe.Target, up bool) { c.gateway.SetHealth(t.Probe, packet.AddrFrom(t.Backend), up) },
	})
	if err == nil {
		c.prober.Store(prober)
	}
	return err
}

// run probes until ctx is done.
func (c *checks) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := c.runOne(ctx); err != nil {
			return err
		}
	}
	return nil
}

// runOne probes until another plan takes over.
func (c *checks) runOne(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.prober.Load().Run(ctx) }()
	select {
	case err := <-done:
		return err
	case p := <-c.next:
		cancel()
		if err := <-done; err != nil {
			return err
		}
		return c.adopt(p)
	}
}
