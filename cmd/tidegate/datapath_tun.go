package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tidegate/config"
	"tidegate/gateway"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packetio"
)

// openTUNPath makes the TUN device; what leads packets into it is the operator's
// (printRoutes says how), so the guard is too: a blackhole behind every route.
func openTUNPath(c *config.Config, _ *plan, log *slog.Logger) (_ *datapath, err error) {
	if err := acceptTUN(c); err != nil {
		return nil, err
	}
	d := &datapath{
		name: config.DatapathTUN, accepts: acceptTUN, source: func() netip.Addr { return addressOf(c.Gateway.Inside.Name) },
		answer: func(was, now *config.Config) { tellRoutes(was, now, log) },
	}
	defer d.onError(&err)
	queues, err := packetio.OpenTUN(packetio.TUNOptions{Name: c.Gateway.TUN.Name, Queues: readers(c)})
	if err != nil {
		return nil, err
	}
	if err := queues[0].Plain(); err != nil {
		log.Warn("the TUN device has no offloads here: each TCP segment crosses by itself", "cause", err)
	}
	router := gateway.NewTunnelRouter()
	d.run = append(d.run, followLinks(c, router))
	for i, q := range queues {
		d.add(q.Close)
		d.queues = append(d.queues, q)
		var w gateway.Writer = q
		if i == 0 {
			// A queue of its own for control would be given packets that nobody reads.
			w = &sharedWriter{Writer: q}
			d.control = tunnelPort(w, router)
		}
		port := tunnelPort(w, router)
		port.Reader = q
		d.workers = append(d.workers, port)
	}
	return d, nil
}

// tellRoutes says when the operator's routes have to follow the configuration.
func tellRoutes(was, now *config.Config, log *slog.Logger) {
	for _, side := range []nexthop.Side{nexthop.Inside, nexthop.Outside} {
		if !slices.Equal(answered(was, side), answered(now, side)) {
			log.Warn("frontends have changed, and the routes to them have to: see `tidegate run --print-routes`", "side", side.String())
		}
	}
}

// acceptTUN refuses what a TUN device can't do.
func acceptTUN(c *config.Config) error {
	if rule := floatingRule(c); rule != "" {
		return fmt.Errorf("rule %s has enableFloatingIP, which hands frames to a backend by its link-layer address; use datapath packet", rule)
	}
	return checkInternal(c, addressOf(c.Gateway.Inside.Name))
}

// floatingRule returns the name of a rule with direct server return, or "".
func floatingRule(c *config.Config) string {
	for _, r := range c.LoadBalancingRules {
		if r.EnableFloatingIP {
			return r.Name
		}
	}
	for _, r := range c.NATRules() {
		if r.EnableFloatingIP {
			return r.Name
		}
	}
	return ""
}

func tunnelPort(w gateway.Writer, r *gateway.TunnelRouter) gateway.Port {
	return gateway.Port{Writers: [2]gateway.Writer{w, w}, Router: r, Side: nexthop.Outside, Tunnel: true}
}

// linkEvery is how often the links behind the tunnel are looked at. Who changes an MTU
// does not expect it to be known at once.
const linkEvery = 2 * time.Second

// followLinks tells the router of the interfaces that the kernel routes by, as far as
// the configuration names them.
func followLinks(c *config.Config, r *gateway.TunnelRouter) func(context.Context) error {
	look := func() {
		for side, name := range [2]string{c.Gateway.Inside.Name, c.Gateway.Outside.Name} {
			if i, err := net.InterfaceByName(name); name != "" && err == nil {
				r.SetLink(nexthop.Side(side), packet.AddrFrom(addressOf(name)), i.MTU)
			}
		}
	}
	look()
	return func(ctx context.Context) error {
		ticker := time.NewTicker(linkEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
				look()
			}
		}
	}
}

// sharedWriter lets two goroutines take turns.
type sharedWriter struct {
	gateway.Writer
	mu sync.Mutex
}

// WriteBatch implements gateway.Writer.
func (s *sharedWriter) WriteBatch(frames [][]byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Writer.WriteBatch(frames)
}
