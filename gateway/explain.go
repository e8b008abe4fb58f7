package gateway

import (
	"time"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
)

// Explanation is what would happen to a packet, and why.
type Explanation struct {
	From    nexthop.Side
	Verdict Verdict

	FromMember bool             // the source is in a pool
	ToFrontend bool             // the destination is an address that the gateway answers for
	Inbound    *nat.InboundRule // of a new flow: the rule that the destination has, if it applies; only to be read

	Buried    bool // it is of the end that was asked, of a flow given up a moment ago
	Known     bool // a flow has that tuple: Flow, going in Direction
	Flow      conntrack.Flow
	Direction conntrack.Direction

	Rule       int // number; −1 if none applies
	Original   packet.Tuple
	Translated packet.Tuple // with Forwarded; of a new flow with SNAT the port is one that it might get
	Ports      Lease        // with SNAT, where that port comes from
	Chosen     packet.Addr  // by a load-balancing rule, of which it is the backend
	Via        packet.Addr  // the backend that it is handed to as it is, 0 if the tuple names it
	Out        nexthop.Side // with Forwarded, the side it leaves on
	NextHop    nexthop.Status
	Idle       time.Duration // how long its flow may be silent once it is established
}

// Lease is the SNAT ports that a new flow draws from. Total is 0 without SNAT.
type Lease struct {
	Member      packet.Addr // 0: the ports are a frontend's, for hairpin flows
	Total, Used int
}

// Explain says what would happen to a packet with that tuple, of TCP, UDP or ICMP,
// from that side: to the first of a flow (a SYN for TCP), or to one of the flow that
// has the tuple. Nothing is sent, and nothing remembered.
func (g *Gateway) Explain(t packet.Tuple, from nexthop.Side) Explanation {
	g.control.sending.Lock() // the control goroutine's Router
	defer g.control.sending.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	e := Explanation{
		From: from, Original: t, Rule: noRule,
		FromMember: g.policy.IsMember(t.Src), ToFrontend: g.policy.IsFrontend(t.Dst),
	}
	p := firstPacket(t)
	ref, known := g.table.Lookup(&t)
	buried := known && g.table.State(ref) == conntrack.Tombstone
	switch {
	case buried && g.table.FromInside(ref) != (from == nexthop.Inside):
		e.Rule, e.Verdict = int(g.table.Rule(ref)), DropWrongSide
	case known && !buried && (g.table.FromInside(ref) != (from == nexthop.Inside) || !g.displaced(&p, ref)):
		g.explainKnown(&e, ref)
	case buried && ref.Direction() == conntrack.Reply:
		e.Buried, e.Rule, e.Verdict = true, int(g.table.Rule(ref)), Reset
		if g.rules[e.Rule].mute() {
			e.Verdict = DropNoFlow
		}
	default:
		g.explainNew(&e, &p)
	}
	return e
}

// SideOf guesses the side that a packet with that tuple comes from.
func (g *Gateway) SideOf(t packet.Tuple) nexthop.Side {
	g.mu.Lock()
	defer g.mu.Unlock()
	ref, known := g.table.Lookup(&t)
	return g.sideOf(&t, ref, known)
}

func firstPacket(t packet.Tuple) packet.Parsed {
	p := packet.Parsed{Tuple: t, TTL: 64, WScale: -1}
	switch t.Proto {
	case packet.TCP:
		p.Kind, p.Flags = packet.KindTCP, packet.SYN
	case packet.UDP:
		p.Kind = packet.KindUDP
	case packet.ICMP:
		p.Kind = packet.KindEchoRequest
	}
	return p
}

func (g *Gateway) explainKnown(e *Explanation, ref conntrack.Ref) {
	e.Known, e.Flow, e.Direction = true, g.table.Flow(ref, g.now()), ref.Direction()
	e.Rule = int(e.Flow.Rule)
	if g.table.FromInside(ref) != (e.From == nexthop.Inside) {
		e.Verdict = DropWrongSide
		return
	}
	e.Translated = e.Flow.Tuple[ref.Direction()^1].Reverse()
	if ref.Direction() == conntrack.Original {
		e.Via = e.Flow.Via
	}
	dst, inside := g.table.Course(ref)
	g.explainWay(e, dst, sideOf(inside))
}

func (g *Gateway) explainNew(e *Explanation, p *packet.Parsed) {
	d := g.judge(p, e.From, g.control.port.Router)
	e.Rule, e.Verdict, e.Chosen = d.rule, d.verdict, d.chosen
	if r := g.policy.Inbound(nat.Endpoint{Addr: p.Dst, Port: p.DstPort}, p.Proto); r != nil && int(r.Rule) == d.rule {
		e.Inbound = r
	}
	if d.verdict != Forwarded {
		return
	}
	e.Translated, e.Via = d.to, d.via
	if d.lease != nil {
		e.Ports = Lease{d.lease.Member, d.lease.Total(), d.lease.Used()}
		ext, ok := d.lease.Offer(&d.to, g, g.now())
		if !ok {
			e.Verdict = DropExhausted
			return
		}
		e.Translated.Src, e.Translated.SrcPort = ext.Addr, ext.Port
	}
	if g.explainWay(e, d.towards(), d.out(e.From)); e.Verdict == Forwarded && g.conflicts(e) {
		e.Verdict = DropConflict
	}
}

// conflicts says whether another flow has the tuple that the answers would carry.
// With SNAT one that is over makes way.
func (g *Gateway) conflicts(e *Explanation) bool {
	use := g.Use(e.Translated.Reverse(), 0)
	return use == nat.InUse
}

func (g *Gateway) explainWay(e *Explanation, dst packet.Addr, out nexthop.Side) {
	e.Out = out
	_, e.NextHop = g.control.port.Router.Hop(dst, out)
	e.Verdict = statusVerdict[e.NextHop]
	e.Idle = g.rules[e.Rule].idle(e.Original.Proto)
}

// idle is how long a flow of that protocol may be silent; 0 for ICMP, which has a
// timer of its own.
func (r *Rule) idle(p packet.Protocol) time.Duration {
	switch {
	case p == packet.ICMP:
		return 0
	case p == packet.UDP && r.UDPIdle != 0:
		return r.UDPIdle
	}
	return r.Idle
}
