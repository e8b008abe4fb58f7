package main

import (
	"context"
	"fmt"
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
	c := &checks{gateway: g}
	var err error
	c.Prober, err = probe.New(probe.Options{
		Specs: p.probes, Targets: p.targets(), Source: source, Log: log,
		Changed: func(t probe.Target, up bool) {
			g.SetHealth(t.Probe, packet.AddrFrom(t.Backend), up)
			g.Note(healthNotice(t, up, c.result(t)))
		},
	})
	return c, err
}

// ask has whoever a plan adds asked beside those of the plan in force, and waits for
// their first word for a moment.
func (c *checks) ask(ctx context.Context, next, was *plan) error {
	specs, targets := next.probes, next.targets()
	for _, s := range was.probes {
		if !slices.ContainsFunc(specs, func(o probe.Spec) bool { return o.Name == s.Name }) {
			specs = append(specs[:len(specs):len(specs)], s)
		}
	}
	seen := make(map[probe.Target]bool, len(targets))
	for _, t := range targets {
		seen[t] = true
	}
	for _, t := range was.targets() {
		if !seen[t] {
			targets = append(targets, t)
		}
	}
	_, err := c.Replace(specs, targets)
	c.settle(ctx, settleLimit)
	return err
}

// replace has the plan's targets probed, and nothing of the others remembered.
func (c *checks) replace(p *plan) error {
	gone, err := c.Replace(p.probes, p.targets())
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

// result is what a target's last probe has found, in words.
func (c *checks) result(t probe.Target) string {
	all := c.Status()
	i := slices.IndexFunc(all, func(s probe.Status) bool { return s.Target == t })
	if i < 0 {
		return "it is probed no longer"
	}
	return all[i].Result
}

func healthNotice(t probe.Target, up bool, result string) gateway.Notice {
	n := gateway.Notice{Kind: gateway.BackendDown, Rule: -1, Backend: packet.AddrFrom(t.Backend),
		Message: fmt.Sprintf("Backend %v is down, as probe %s finds: %s.", t.Backend, t.Probe, result)}
	if up {
		n.Kind, n.Message = gateway.BackendUp, fmt.Sprintf("Backend %v is up, as probe %s finds: %s.", t.Backend, t.Probe, result)
	}
	return n
}
