package gateway

import (
	"tidegate/nexthop"
	"tidegate/packet"
)

// judgeOther decides on what is neither TCP nor UDP nor an ICMP echo. Only between
// an instance-level public IP and its backend can it be translated: without a flow, by
// the addresses alone, which become src and dst. Between two backends inside both do.
func (g *Gateway) judgeOther(p *packet.Parsed, from nexthop.Side, r Router) (src, dst packet.Addr, v Verdict) {
	own, to := g.policy.InstanceOf(p.Src), g.policy.InstanceAt(p.Dst)
	switch {
	case martianSource(p.Src):
		return 0, 0, DropMartian
	case groupAddress(p.Dst) || r.Local(p.Dst) && !g.policy.IsFrontend(p.Dst):
		return 0, 0, LeftToHost
	case !packet.AddressesOnly(p.Proto):
		return 0, 0, DropProtocol
	case from == nexthop.Outside && to != nil && g.spoofed(p.Src, from, r):
		return 0, 0, DropMartian
	case from == nexthop.Outside && to != nil:
		return p.Src, to.Backend, Forwarded
	case from == nexthop.Inside && own != nil && to != nil:
		return own.Public, to.Backend, Forwarded
	case from == nexthop.Inside && own != nil && !g.policy.IsFrontend(p.Dst) && !martianDestination(p.Dst):
		return own.Public, p.Dst, Forwarded
	}
	return 0, 0, DropProtocol
}

// other carries that out.
func (w *worker) other(frame []byte, now int64) (Verdict, nexthop.Side) {
	p, from := &w.p, w.port.Side
	if w.port.Tunnel {
		from = w.sideOf(&p.Tuple, 0, false)
	}
	src, dst, v := w.judgeOther(p, from, w.port.Router)
	if v != Forwarded {
		return v, from
	}
	if !w.layout.detach(frame, p) {
		return DropTooBig, from // turn the receive offload of that protocol off
	}
	out := sideOf(from == nexthop.Outside || w.policy.InstanceAt(p.Dst) != nil)
	hop, v := w.way(frame, dst, from, out, now)
	if v.Drop() {
		return v, from
	}
	packet.RewriteAddresses(frame[w.layout.headroom:], p, src, dst, w.hop)
	return w.transmit(frame, hop, v, dst, out, now), from
}
