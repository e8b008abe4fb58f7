package gateway

import (
	"tidegate/nexthop"
	"tidegate/packet"
)

// other decides on what is neither TCP nor UDP nor an ICMP echo. Only between an
// instance-level public IP and its backend can it be translated: without a flow,
// by the addresses alone.
func (w *worker) other(frame []byte, now int64) (Verdict, nexthop.Side) {
	p, from := &w.p, w.port.Side
	if w.port.Tunnel {
		from = w.sideOf(&p.Tuple, 0, false)
	}
	switch {
	case martianSource(p.Src):
		return DropMartian, from
	case groupAddress(p.Dst) || w.port.Router.Local(p.Dst) && !w.policy.IsFrontend(p.Dst):
		return LeftToHost, from
	case !packet.AddressesOnly(p.Proto):
		return DropProtocol, from
	}
	return w.oneToOne(frame, from, now), from
}

// oneToOne translates a packet of a protocol whose addresses can be changed alone.
func (w *worker) oneToOne(frame []byte, from nexthop.Side, now int64) Verdict {
	p := &w.p
	src, dst := p.Src, p.Dst
	switch own, to := w.policy.InstanceOf(src), w.policy.InstanceAt(dst); {
	case from == nexthop.Outside && to != nil && w.spoofed(src, from, w.port.Router):
		return DropMartian
	case from == nexthop.Outside && to != nil:
		dst = to.Backend
	case from == nexthop.Inside && own != nil && !w.policy.IsFrontend(dst) && !martianDestination(dst):
		src = own.Public
	default:
		return DropProtocol
	}
	out := opposite(from)
	hop, v := w.way(frame, dst, from, out, now)
	if v.Drop() {
		return v
	}
	packet.RewriteAddresses(frame[w.layout.headroom:], p, src, dst, w.hop)
	return w.transmit(frame, hop, v, dst, out, now)
}
