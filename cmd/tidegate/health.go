package main

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"tidegate/gateway"
	"tidegate/packet"
	"tidegate/probe"
)

// checks runs the probes, and tells the gateway what they find.
type checks struct {
	gateway *gateway.Gateway
	*probe.Prober
}

func newChecks(p *plan, g *gateway.Gateway, source func() netip.Addr, log *slog.Logger) (*checks, error) {
	prober, err := probe.New(probe.Options{
		Specs: p.probes, Targets: p.targets(), Source: source, Log: log,
		Changed: func(t probe.Target, up bool) { g.SetHealth(t.Probe, packet.AddrFrom(t.Backend), up) },
	})
	return &checks{g, prober}, err
}

// replace has the plan's targets probed, and nothing of the others remembered.
func (c *checks) replace(p *plan) error {
	gone, err := c.SetTargets(p.targets())
	for _, t := range gone {
		c.gateway.ForgetHealth(t.Probe, packet.AddrFrom(t.Backend))
	}
	return err
}

// settled says whether every backend has been asked, and the gateway has drawn its
// conclusions.
func (c *checks) settled() bool {
	return !slices.ContainsFunc(c.Status(), func(s probe.Status) bool { return !s.Known }) && c.gateway.Settled()
}

const settleEvery = 5 * time.Millisecond

// settle waits until every backend has been asked once, or for limit at most.
func (c *checks) settle(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for ctx.Err() == nil && !c.settled() {
		select {
		case <-ctx.Done():
		case <-time.After(settleEvery):
		}
	}
}
