package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync"

	"tidegate/config"
	"tidegate/gateway"
	"tidegate/nexthop"
	"tidegate/packetio"
)

// openTUNPath makes the TUN device; what leads packets into it is the operator's
// (printRoutes says how), so the guard is too: a blackhole behind every route.
func openTUNPath(c *config.Config, _ *plan, log *slog.Logger) (_ *datapath, err error) {
	if rule := floatingRule(c); rule != "" {
		return nil, fmt.Errorf("rule %s has enableFloatingIP, which hands frames to a backend by its link-layer address; use datapath packet", rule)
	}
	d := &datapath{name: config.DatapathTUN, source: func() netip.Addr { return addressOf(c.Gateway.Inside.Name) }}
	defer d.onError(&err)
	queues, err := packetio.OpenTUN(packetio.TUNOptions{Name: c.Gateway.TUN.Name, Queues: readers(c)})
	if err != nil {
		return nil, err
	}
	if err := queues[0].Plain(); err != nil {
		log.Warn("the TUN device has no offloads here: each TCP segment crosses by itself", "cause", err)
	}
	for i, q := range queues {
		d.add(q.Close)
		d.queues = append(d.queues, q)
		var w gateway.Writer = q
		if i == 0 {
			// A queue of its own for control would be given packets that nobody reads.
			w = &sharedWriter{Writer: q}
			d.control = tunnelPort(w)
		}
		port := tunnelPort(w)
		port.Reader = q
		d.workers = append(d.workers, port)
	}
	return d, nil
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

func tunnelPort(w gateway.Writer) gateway.Port {
	return gateway.Port{
		Writers: [2]gateway.Writer{w, w}, Router: gateway.NewTunnelRouter(maxPacket), Side: nexthop.Outside, Tunnel: true,
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

// maxPacket is the largest IPv4 packet: behind a tunnel the kernel, which routes
// on, knows the next link's MTU.
const maxPacket = 65535
