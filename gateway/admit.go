package gateway

import (
	"errors"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
)

// miss decides on a packet that belongs to no flow.
func (w *worker) miss(frame []byte, from nexthop.Side, now int64) Verdict {
	p := &w.p
	switch {
	case martianSource(p.Src) || p.Src == p.Dst:
		return DropMartian
	case groupAddress(p.Dst):
		return LeftToHost
	case w.policy.IsFrontend(p.Dst):
		return w.toFrontend(frame, from, now)
	case w.port.Router.Local(p.Dst):
		return LeftToHost
	case martianDestination(p.Dst):
		return DropMartian
	case from == nexthop.Outside:
		return DropNotOurs
	}
	return w.outbound(frame, now)
}

// outbound begins a flow from a pool member to the outside.
func (w *worker) outbound(frame []byte, now int64) Verdict {
	p := &w.p
	if !w.policy.IsMember(p.Src) {
		return DropNotMember
	}
	lease, owner := w.policy.Outbound(p.Src, p.Proto)
	if lease == nil {
		return DropNoRule
	}
	if !opens(p) {
		return DropNoFlow
	}
	if _, v := w.way(frame, p.Dst, nexthop.Inside, now); v.Drop() {
		return v
	}
	ext, evict, ok := lease.Allocate(&p.Tuple, p.Seq, w.Gateway, now)
	if !ok {
		return w.exhausted(frame, lease, now)
	}
	a := conntrack.Admission{Original: p.Tuple, Translated: translated(p.Tuple, ext), Inside: true, Rule: lease.Rule, Owner: owner}
	if evict {
		w.evict(a.Translated.Reverse(), now)
	}
	return w.admit(frame, &a, nexthop.Inside, now)
}

// translated returns the tuple with the external endpoint for its source.
func translated(t packet.Tuple, ext nat.Endpoint) packet.Tuple {
	t.Src, t.SrcPort = ext.Addr, ext.Port
	return t
}

// toFrontend decides on a packet to one of the gateway's own addresses.
func (w *worker) toFrontend(frame []byte, from nexthop.Side, now int64) Verdict {
	p := &w.p
	switch {
	case from == nexthop.Outside && w.spoofed(p.Src):
		return DropMartian
	case p.Kind == packet.KindEchoRequest:
		return w.echo(frame, from)
	}
	rule := w.policy.Inbound(nat.Endpoint{Addr: p.Dst, Port: p.DstPort}, p.Proto)
	switch {
	case rule == nil && w.hostOwns():
		return LeftToHost
	case from == nexthop.Inside:
		return DropHairpin
	case rule == nil || !opens(p):
		return DropNoFlow
	}
	if _, v := w.way(frame, rule.Backend.Addr, nexthop.Outside, now); v.Drop() {
		return v
	}
	to := p.Tuple
	to.Dst, to.DstPort = rule.Backend.Addr, rule.Backend.Port
	return w.admit(frame, &conntrack.Admission{Original: p.Tuple, Translated: to, Rule: rule.Rule}, nexthop.Outside, now)
}

// spoofed says whether nothing from the outside can truly come from there: it is
// a member's or the gateway's address, or one that is not answered on that side
// (RFC 2827, RFC 3704 §2.2). A backend would answer somebody who never asked.
func (w *worker) spoofed(src packet.Addr) bool {
	if w.policy.IsMember(src) || w.policy.IsFrontend(src) {
		return true
	}
	_, status := w.port.Router.Hop(src, nexthop.Outside)
	return status == nexthop.Elsewhere
}

// hostOwns says whether the packet at hand, to a frontend, is for the host, which
// may carry that address too and then keeps the ports that aren't given out.
func (w *worker) hostOwns() bool {
	p := &w.p
	return w.port.Router.Local(p.Dst) && (p.Kind == packet.KindEchoReply || !w.policy.Owns(p.Dst, p.DstPort))
}

// untranslatable decides on what is neither TCP nor UDP nor an ICMP echo.
func (w *worker) untranslatable() Verdict {
	p := &w.p
	switch {
	case martianSource(p.Src):
		return DropMartian
	case groupAddress(p.Dst) || w.port.Router.Local(p.Dst) && !w.policy.IsFrontend(p.Dst):
		return LeftToHost
	case p.Kind == packet.KindFragment:
		return DropFragment
	case p.Kind == packet.KindICMPError:
		return DropICMPError
	}
	return DropProtocol
}

// opens says whether the packet may begin a flow: for TCP only a plain SYN may
// (RFC 5382 REQ-2, and RFC 9293 §3.10.7.1 for everything else).
func opens(p *packet.Parsed) bool {
	switch p.Kind {
	case packet.KindTCP:
		return p.Flags&(packet.SYN|packet.ACK|packet.RST|packet.FIN) == packet.SYN
	case packet.KindUDP, packet.KindEchoRequest:
		return true
	}
	return false
}

// admit makes the flow and sends its first packet.
func (w *worker) admit(frame []byte, a *conntrack.Admission, from nexthop.Side, now int64) Verdict {
	ref, err := w.table.Insert(a, now)
	switch {
	case errors.Is(err, conntrack.ErrFull):
		return DropTableFull
	case err != nil:
		return DropConflict
	}
	if lease := w.policy.Owner(a.Owner); lease != nil {
		lease.Hold(nat.Endpoint{Addr: a.Translated.Src, Port: a.Translated.SrcPort}, a.Original.SrcPort)
	}
	w.counters.Created[a.Rule][conntrack.ProtocolIndex(a.Original.Proto)]++
	return w.forward(frame, ref, from, now)
}

// evict ends the spent flow whose port is wanted.
func (w *worker) evict(reply packet.Tuple, now int64) {
	ref, ok := w.table.Lookup(&reply)
	if !ok {
		return
	}
	why := conntrack.Fin
	if w.table.State(ref) == conntrack.Closed {
		why = conntrack.Rst
	}
	ended := w.table.End(ref, why, now)
	w.settle(&ended)
}

// martianSource: nobody's address, loopback, multicast, reserved and broadcast
// (RFC 1122 §3.2.1.3, RFC 1812 §5.3.7).
func martianSource(a packet.Addr) bool {
	return a>>24 == 0 || a>>24 == 127 || a>>28 >= 0xe
}

// groupAddress: multicast and limited broadcast, which no router passes on.
func groupAddress(a packet.Addr) bool { return a>>28 == 0xe || a == 0xffffffff }

func martianDestination(a packet.Addr) bool {
	return a>>24 == 0 || a>>24 == 127 || a>>28 == 0xf
}
