package gateway

import (
	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
)

// displaced says whether the SYN at hand begins a connection, anew or because
// nobody has answered the one before, whose backend takes no new flows any more.
func (g *Gateway) displaced(p *packet.Parsed, ref conntrack.Ref) bool {
	if !g.table.Begins(ref, p) {
		return false
	}
	rule := g.policy.Inbound(nat.Endpoint{Addr: p.Dst, Port: p.DstPort}, p.Proto)
	if rule == nil || rule.Pool == nil {
		return false
	}
	f := g.table.Flow(ref, g.now())
	return f.Inbound() && !rule.Pool.Takes(f.Backend())
}

// replace ends the flow of a displaced connection, and has another backend chosen.
func (w *worker) replace(frame []byte, ref conntrack.Ref, from nexthop.Side, now int64) Verdict {
	ended := w.table.End(ref, conntrack.BackendDown, now)
	w.settle(&ended, now)
	return w.miss(frame, from, now)
}
