package gateway

import (
	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
)

// decision is what becomes of a packet that belongs to no flow. The data path
// carries it out, Explain tells it.
type decision struct {
	verdict Verdict // Forwarded: it begins a flow, of which all below is known
	rule    int     // number, noRule if none applies
	sender  conntrack.Direction

	chosen packet.Addr  // the backend that a load-balancing rule has chosen
	to     packet.Tuple // as it leaves, but for a source that lease is still to give
	lease  *nat.Lease
	owner  uint32
	via    packet.Addr // of a floating rule: the backend, which is not in the tuple
	turned bool        // from the inside to the inside
}

const noRule = -1

func final(v Verdict) decision { return decision{verdict: v, rule: noRule} }

func by(rule uint16, v Verdict) decision { return decision{verdict: v, rule: int(rule)} }

// towards is the address that the next hop is looked up for.
func (d *decision) towards() packet.Addr {
	if d.via != 0 {
		return d.via
	}
	return d.to.Dst
}

// out is the side that the packet leaves on.
func (d *decision) out(from nexthop.Side) nexthop.Side {
	if d.turned {
		return from
	}
	return opposite(from)
}

// judge decides on a packet that belongs to no flow, and changes nothing but that the
// first hairpin flow to a frontend makes the lease for it.
func (g *Gateway) judge(p *packet.Parsed, from nexthop.Side, r Router) decision {
	switch {
	case martianSource(p.Src) || p.Src == p.Dst:
		return final(DropMartian)
	case groupAddress(p.Dst):
		return final(LeftToHost)
	case g.policy.IsFrontend(p.Dst):
		return g.judgeFrontend(p, from, r)
	case r.Local(p.Dst):
		return final(LeftToHost)
	case martianDestination(p.Dst):
		return final(DropMartian)
	case from == nexthop.Outside:
		return final(DropNotOurs)
	}
	return g.judgeOutbound(p)
}

// judgeOutbound decides on a packet from the inside to the outside.
func (g *Gateway) judgeOutbound(p *packet.Parsed) decision {
	lease, owner := g.policy.Outbound(p.Src, p.Proto)
	instance := g.policy.InstanceOf(p.Src)
	answers, isAnswer, begins := uint16(0), false, opens(p)
	if !begins {
		answers, isAnswer = g.policy.Answering(nat.Endpoint{Addr: p.Src, Port: p.SrcPort}, p.Proto)
	}
	switch {
	case isAnswer:
		return g.late(p, answers, conntrack.Reply)
	case !g.policy.IsMember(p.Src):
		return final(DropNotMember)
	case instance != nil && begins: // it comes before outbound rules, as in Azure
		d := by(instance.Rule, Forwarded)
		d.to = p.Tuple
		d.to.Src = instance.Public
		return d
	case instance != nil:
		return g.late(p, instance.Rule, conntrack.Original)
	case lease == nil:
		return final(DropNoRule)
	case !begins:
		return g.late(p, lease.Rule, conntrack.Original)
	}
	d := by(lease.Rule, Forwarded)
	d.to, d.lease, d.owner = p.Tuple, lease, owner
	return d
}

// judgeFrontend decides on a packet to one of the gateway's own addresses.
func (g *Gateway) judgeFrontend(p *packet.Parsed, from nexthop.Side, r Router) decision {
	instance := g.policy.InstanceAt(p.Dst)
	switch {
	case from == nexthop.Outside && g.policy.IsInternal(p.Dst):
		return final(DropNotOurs)
	case g.spoofed(p.Src, from, r):
		return final(DropMartian)
	case instance != nil && !opens(p):
		return g.late(p, instance.Rule, conntrack.Original)
	case instance != nil:
		return g.deliver(p, from, instance.Rule, nat.Endpoint{Addr: instance.Backend, Port: p.DstPort}, false)
	case p.Kind == packet.KindEchoRequest:
		return final(Answered)
	}
	rule := g.policy.Inbound(nat.Endpoint{Addr: p.Dst, Port: p.DstPort}, p.Proto)
	if rule == nil {
		return g.judgeUnserved(p, from, r)
	}
	return g.judgeInbound(p, from, rule)
}

// judgeUnserved decides on a packet to a frontend's port that has no rule.
func (g *Gateway) judgeUnserved(p *packet.Parsed, from nexthop.Side, r Router) decision {
	to := nat.Endpoint{Addr: p.Dst, Port: p.DstPort}
	tenant := g.policy.Tenant(to, p.Proto)
	answers, isAnswer := g.policy.Answering(nat.Endpoint{Addr: p.Src, Port: p.SrcPort}, p.Proto) // of a hairpin flow
	switch {
	case g.hostOwns(p, r):
		return final(LeftToHost)
	case isAnswer && !opens(p):
		return g.late(p, answers, conntrack.Reply)
	case tenant == nil:
		return final(DropNoFlow)
	case !opens(p):
		return g.late(p, tenant.Rule, conntrack.Reply)
	case from == nexthop.Inside:
		return g.judgePeer(p, tenant, to)
	}
	return final(DropNoFlow)
}

// judgePeer decides on a packet from one member to another's external endpoint (RFC
// 4787 REQ-9). Both are inside, so there is nobody to filter.
func (g *Gateway) judgePeer(p *packet.Parsed, tenant *nat.Lease, to nat.Endpoint) decision {
	peer, ok := tenant.Mapped(to)
	own, _ := g.policy.Outbound(p.Src, p.Proto)
	switch {
	case !g.policy.IsMember(p.Src):
		return final(DropNotMember)
	case own == nil && g.policy.InstanceOf(p.Src) == nil:
		return final(DropNoRule)
	case !ok:
		return final(DropNoFlow)
	}
	return g.deliver(p, nexthop.Inside, tenant.Rule, peer, false)
}

// judgeInbound decides on a packet to a frontend's port that has a rule.
func (g *Gateway) judgeInbound(p *packet.Parsed, from nexthop.Side, rule *nat.InboundRule) decision {
	switch {
	case from == nexthop.Inside && !g.policy.IsInternal(p.Dst) && !g.policy.IsMember(p.Src):
		return final(DropNotMember)
	case !rule.ACL.Permits(p.Src):
		return by(rule.Rule, DropDenied)
	case !opens(p):
		return g.late(p, rule.Rule, conntrack.Original)
	}
	backend, ok := rule.Choose(&p.Tuple)
	if !ok {
		return by(rule.Rule, DropNoBackend)
	}
	d := g.deliver(p, from, rule.Rule, backend, rule.Floating)
	if rule.Pool != nil {
		d.chosen = backend.Addr
	}
	return d
}

// deliver leads the packet at hand to a backend. One that comes from the inside
// gets a source of the gateway's, so that the answers come back, unless they go
// straight to the client.
func (g *Gateway) deliver(p *packet.Parsed, from nexthop.Side, rule uint16, backend nat.Endpoint, floating bool) decision {
	d := by(rule, Forwarded)
	d.turned = from == nexthop.Inside
	d.to = p.Tuple
	d.to.DstPort = backend.Port
	if floating {
		d.via = backend.Addr
		return d
	}
	d.to.Dst = backend.Addr
	if !d.turned {
		return d
	}
	return g.hairpin(p, d)
}

// hairpin finds the source for a flow that is turned around: what the client has
// outside too (RFC 4787 REQ-9), or else the frontend that it has asked.
func (g *Gateway) hairpin(p *packet.Parsed, d decision) decision {
	internal := g.policy.IsInternal(p.Dst)
	if client := g.policy.InstanceOf(p.Src); client != nil && !internal {
		d.to.Src = client.Public
		return d
	}
	if !internal {
		d.lease, d.owner = g.policy.Outbound(p.Src, p.Proto)
	}
	if d.lease != nil {
		return d
	}
	if g.policy.InstanceAt(p.Dst) != nil {
		return by(uint16(d.rule), DropNoRule) // every port of that frontend is its backend's
	}
	d.lease, d.owner = g.policy.Hairpin(p.Dst, p.Proto)
	return d
}

// late decides on a packet that can't begin a flow, where a rule would have one:
// the rule says whether its sender is told.
func (g *Gateway) late(p *packet.Parsed, rule uint16, sender conntrack.Direction) decision {
	v := DropNoFlow
	if p.Kind == packet.KindTCP && p.Flags&packet.RST == 0 && g.rules[rule].Late {
		v = Reset
	}
	d := by(rule, v)
	d.sender = sender
	return d
}

// spoofed says whether nothing on that side can truly have that source: outside it
// is a member's or a frontend's address, on either side one that is not answered
// there (RFC 2827, RFC 3704 §2.2). A backend would answer somebody who never asked.
func (g *Gateway) spoofed(src packet.Addr, from nexthop.Side, r Router) bool {
	if g.policy.IsFrontend(src) || from == nexthop.Outside && g.policy.IsMember(src) {
		return true
	}
	_, status := r.Hop(src, from)
	return status == nexthop.Elsewhere
}

// hostOwns says whether a packet to a frontend is for the host, which may carry
// that address too and then keeps the ports that aren't given out.
func (g *Gateway) hostOwns(p *packet.Parsed, r Router) bool {
	return r.Local(p.Dst) && (p.Kind == packet.KindEchoReply || !g.policy.Owns(p.Dst, p.DstPort))
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
