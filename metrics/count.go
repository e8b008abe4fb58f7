package metrics

import (
	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/nexthop"
	"tidegate/packet"
)

// protocols are by conntrack.ProtocolIndex.
var protocols = [conntrack.NumProtocols]packet.Protocol{packet.TCP, packet.UDP, packet.ICMP}

// resetSides are who is meant by a conntrack.Direction.
var resetSides = [2]string{conntrack.Original: "client", conntrack.Reply: "server"}

func (c *Collector) countRule(f *families, name string, rule int, s *gateway.Snapshot) {
	for i, proto := range protocols {
		proto := proto.String()
		f.created.add(float64(s.Counters.Created[rule][i]), name, proto)
		for reason, n := range s.Counters.Closed[rule][i] {
			f.closed.add(float64(n), name, proto, conntrack.Reason(reason).String())
		}
		for state, n := range s.States[rule][i] {
			if hasState(protocols[i], conntrack.State(state)) {
				f.flows.add(float64(n), name, proto, conntrack.State(state).String())
			}
		}
	}
	for reason, sides := range s.Counters.Resets[rule] {
		for to, n := range sides {
			f.resets.add(float64(n), name, gateway.ResetReason(reason).String(), resetSides[to])
		}
	}
}

// hasState says whether living flows of a protocol can be in a state.
func hasState(p packet.Protocol, s conntrack.State) bool {
	switch s {
	case conntrack.Free, conntrack.Tombstone:
		return false
	case conntrack.Active:
		return p != packet.TCP
	}
	return p == packet.TCP
}

// countLease counts a block at its own frontend. A flow that got no port has
// none: it counts at the frontend that is tried first.
func (c *Collector) countLease(f *families, l *gateway.LeaseCounts) {
	backend, proto := l.Member.String(), l.Protocol.String()
	for i, b := range l.Blocks {
		frontend := c.Gateway.Frontends().Of(b.Frontend)
		f.allocated.add(float64(b.Count), frontend, backend, proto)
		f.used.add(float64(b.Used), frontend, backend, proto)
		f.connections.add(float64(b.Opened), frontend, backend, proto, "successful")
		if i == 0 {
			f.connections.add(float64(l.Failed), frontend, backend, proto, "failed")
		}
	}
}

func countTraffic(f *families, s *gateway.Snapshot) {
	for side, t := range s.Counters.Traffic {
		side := nexthop.Side(side).String()
		f.packets.add(float64(t.PacketsIn), side, "in")
		f.packets.add(float64(t.PacketsOut), side, "out")
		f.bytes.add(float64(t.BytesIn), side, "in")
		f.bytes.add(float64(t.BytesOut), side, "out")
	}
}

func (c *Collector) countDrops(f *families, s *gateway.Snapshot) {
	for i, n := range s.Counters.Verdicts {
		if v := gateway.Verdict(i); v.Drop() {
			f.drops.add(float64(n), v.String())
		}
	}
	if c.Drops == nil {
		return
	}
	for reason, n := range c.Drops() {
		f.drops.add(float64(n), reason)
	}
}

func (c *Collector) countLost(f *families) {
	if c.Lost == nil {
		return
	}
	for sink, n := range c.Lost() {
		f.lost.add(float64(n), sink)
	}
}
