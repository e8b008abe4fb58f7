package gateway

import (
	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
)

// icmpError decides on an ICMP error: one about a packet of a flow goes to who sent
// that packet (RFC 5508 REQ-4, REQ-5). It neither ends the flow nor keeps it alive.
func (w *worker) icmpError(frame []byte, now int64) (Verdict, nexthop.Side) {
	b, from := frame[w.layout.headroom:], w.port.Side
	if w.p.More {
		return DropFragment, from
	}
	if fault := packet.DecodeQuote(b, &w.p, &w.quote); fault != packet.FaultNone {
		return DropICMPError, from
	}
	// What was sent to the far end is answered by the other direction's tuple.
	reply := w.quote.Reverse()
	ref, known := conntrack.Ref(0), false
	if w.quote.Kind != packet.KindOther && w.quote.Src == w.p.Dst {
		ref, known = w.table.Lookup(&reply)
		known = known && w.table.State(ref) != conntrack.Tombstone
	}
	if w.port.Tunnel {
		from = w.sideOf(&w.p.Tuple, ref, known)
	}
	switch {
	case martianSource(w.p.Src), from == nexthop.Outside && (w.policy.IsMember(w.p.Src) || w.policy.IsFrontend(w.p.Src)):
		return DropMartian, from
	case !known && w.hostQuoted():
		return LeftToHost, from
	case !known:
		return w.oneToOneError(frame, from, now), from
	case w.table.FromInside(ref) != (from == nexthop.Inside):
		return DropWrongSide, from
	}
	return w.passError(frame, ref, from, now), from
}

// hostQuoted says whether the error at hand is about a packet of the host's own.
func (w *worker) hostQuoted() bool {
	p, q := &w.p, &w.quote
	return w.port.Router.Local(p.Dst) && (!w.policy.IsFrontend(p.Dst) || !w.policy.Owns(q.Src, q.SrcPort))
}

// passError translates an error that goes in direction ref, and sends it on.
func (w *worker) passError(frame []byte, ref conntrack.Ref, from nexthop.Side, now int64) Verdict {
	w.trace(ref)
	dst, inside := w.table.Course(ref)
	to := sideOf(inside)
	hop, v := w.way(frame, dst, from, to, now)
	if v.Drop() {
		return v
	}
	rewrite := w.table.Rewrite(ref)
	src := w.p.Src
	if src == w.quote.Dst || to != from && from == nexthop.Inside {
		src = rewrite.Src // a router inside has no name outside
	}
	quoted := packet.Tuple{Src: rewrite.Dst, SrcPort: rewrite.DstPort, Dst: rewrite.Src, DstPort: rewrite.SrcPort, Proto: w.quote.Proto}
	packet.RewriteError(frame[w.layout.headroom:], &w.p, &w.quote, src, rewrite.Dst, quoted, w.hop)
	return w.transmit(frame, hop, v, dst, to, now)
}

// oneToOneError sends on an error about a packet that went without a flow, between an
// instance-level public IP and its backend.
func (w *worker) oneToOneError(frame []byte, from nexthop.Side, now int64) Verdict {
	p, q := &w.p, &w.quote
	src, quoted := p.Src, q.Tuple
	at, of := w.policy.InstanceAt(q.Src), w.policy.InstanceOf(q.Dst)
	switch {
	case !packet.AddressesOnly(q.Proto) || q.Src != p.Dst:
		return DropICMPError
	case from == nexthop.Outside && at != nil:
		quoted.Src = at.Backend
	case from == nexthop.Inside && of != nil:
		src, quoted.Dst = of.Public, of.Public
		if at != nil {
			quoted.Src = at.Backend
		}
	default:
		return DropICMPError
	}
	out := sideOf(at != nil)
	hop, v := w.way(frame, quoted.Src, from, out, now)
	if v.Drop() {
		return v
	}
	packet.RewriteError(frame[w.layout.headroom:], p, q, src, quoted.Src, quoted, w.hop)
	return w.transmit(frame, hop, v, quoted.Src, out, now)
}
