package gateway

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

var (
	anyPublic   = []string{"203.0.113.5", "203.0.113.6", "203.0.113.7"}
	anyInternal = []string{"10.0.0.4", "10.0.0.5"}
	anyInside   = []string{"10.0.0.10", "10.0.0.11", "10.0.0.20", "10.0.0.30", "10.0.0.50"}
	anyOutside  = []string{"198.51.100.7", "192.0.2.66"}
	anyPorts    = []uint16{0, 22, 443, 1030, 5000, 8443, 65100}
)

// drawRule is an inbound rule of any kind, whether it makes sense or not.
func drawRule(t *rapid.T, number uint16, p *nat.Pool) nat.InboundRule {
	port, host := rapid.SampledFrom(anyPorts), rapid.SampledFrom(append(slices.Clone(anyPublic), anyInternal...))
	r := nat.InboundRule{
		Rule: number, Name: "any", Protocol: rapid.SampledFrom([]packet.Protocol{packet.TCP, packet.UDP}).Draw(t, "protocol"),
		Frontend:     nat.Endpoint{Addr: packettest.Addr(host.Draw(t, "frontend")), Port: port.Draw(t, "port")},
		Backend:      nat.Endpoint{Port: port.Draw(t, "backend port")},
		Distribution: rapid.SampledFrom([]nat.Distribution{nat.FiveTuple, nat.TwoTuple, nat.ThreeTuple}).Draw(t, "distribution"),
	}
	if rapid.Bool().Draw(t, "balanced") {
		r.Pool, r.Floating = p, rapid.Bool().Draw(t, "floating")
	} else {
		r.Backend.Addr = packettest.Addr(rapid.SampledFrom(anyInside).Draw(t, "backend"))
	}
	if rapid.IntRange(0, 4).Draw(t, "list") == 0 {
		r.ACL = nat.ACL{{Order: 1, Permit: rapid.Bool().Draw(t, "permit"), Network: packettest.Addr("192.0.2.0"), Mask: packettest.Addr("255.255.255.0")}}
	}
	return r
}

// drawSite is a rig with rules of its own making.
func drawSite(tb testing.TB, t *rapid.T) *rig {
	r := newSite(tb, func(s *siteOptions) {
		s.pool.LastResort = rapid.Bool().Draw(t, "last resort")
		s.rules.Frontends, s.rules.Inbound, s.rules.Instances = nil, nil, nil
		for _, a := range anyPublic[:2] {
			s.rules.Frontends = append(s.rules.Frontends, packettest.Addr(a))
		}
		s.rules.Outbound[0].Ports = 8
		if rapid.Bool().Draw(t, "no outbound rule") {
			s.rules.Outbound = nil
		}
		for range rapid.IntRange(0, 8).Draw(t, "rules") {
			rule := drawRule(t, uint16(rapid.IntRange(ruleWeb, rulePIP-1).Draw(t, "number")), s.pool)
			if rule.Frontend.Addr != packettest.Addr(anyPublic[2]) {
				s.rules.Inbound = append(s.rules.Inbound, rule)
			}
		}
		if rapid.Bool().Draw(t, "instance") {
			backend := packettest.Addr(rapid.SampledFrom(anyInside).Draw(t, "its backend"))
			s.rules.Instances = []nat.Instance{{Rule: rulePIP, Name: "pip", Public: packettest.Addr(anyPublic[2]), Backend: backend}}
		}
		for i := range s.Rules {
			s.Rules[i].Reset, s.Rules[i].Late, s.Rules[i].Ask = rapid.Bool().Draw(t, "reset"), rapid.Bool().Draw(t, "late"), rapid.Bool().Draw(t, "ask")
		}
	})
	r.hops.sided = true
	return r
}

// drawPacket is one of anybody to anybody, or now and then of a flow that lives.
func drawPacket(t *rapid.T, r *rig) (from nexthop.Side, b []byte) {
	from = rapid.SampledFrom(bothSides).Draw(t, "side")
	host := rapid.SampledFrom(slices.Concat(anyPublic, anyInternal, anyInside, anyOutside))
	port := rapid.SampledFrom(anyPorts)
	src, dst := endpoint(host.Draw(t, "src"), port.Draw(t, "src port")), endpoint(host.Draw(t, "dst"), port.Draw(t, "dst port"))
	proto := rapid.SampledFrom([]packet.Protocol{packet.TCP, packet.UDP, packet.ICMP}).Draw(t, "protocol")
	if flows := r.flows(); len(flows) > 0 && rapid.Bool().Draw(t, "of a flow") {
		f := &flows[rapid.IntRange(0, len(flows)-1).Draw(t, "flow")]
		k := f.Tuple[rapid.IntRange(0, 1).Draw(t, "direction")]
		src, dst, proto = k.Source().String(), k.Destination().String(), k.Proto
	}
	switch proto {
	case packet.UDP:
		return from, datagram(src, dst)
	case packet.ICMP:
		if rapid.Bool().Draw(t, "reply") {
			return from, pong(hostOf(src), hostOf(dst), portOf(dst))
		}
		return from, ping(hostOf(src), hostOf(dst), portOf(src))
	}
	num := rapid.Uint32Range(0, 3)
	return from, packettest.TCP(packettest.Segment{
		Src: src, Dst: dst, Seq: num.Draw(t, "seq"), Ack: num.Draw(t, "ack"),
		Flags: rapid.SampledFrom(append([]uint8{packet.SYN, packet.SYN}, stageFlags...)).Draw(t, "flags"),
	})
}

// proper wants of all that was written that nothing leaves on the outside but from
// an address of the gateway's there, or as its own word to who has just spoken, and
// that the inside gets nothing that is for the outside.
func (r *rig) proper(spoke string) {
	r.t.Helper()
	for _, v := range r.take(nexthop.Outside) {
		if !slices.Contains(anyPublic, hostOf(v.Src)) || strings.HasPrefix(v.Dst, "10.") {
			r.t.Errorf("left on the outside: %+v", v)
		}
	}
	for _, v := range r.take(nexthop.Inside) {
		host := hostOf(v.Dst)
		floating := slices.Contains(anyPublic, host) || slices.Contains(anyInternal, host)
		if !slices.Contains(anyInside, host) && !floating && host != spoke {
			r.t.Errorf("left on the inside: %+v", v)
		}
	}
}

// accounts compares the ports that are counted as used with the list of flows.
func (r *rig) accounts() {
	r.t.Helper()
	used := map[uint32]map[nat.Endpoint]bool{}
	r.Flows(0, func(f *conntrack.Flow) bool {
		if used[f.Owner] == nil {
			used[f.Owner] = map[nat.Endpoint]bool{}
		}
		k := f.Tuple[conntrack.Reply]
		used[f.Owner][nat.Endpoint{Addr: k.Dst, Port: k.DstPort}] = true
		return true
	})
	counted, draining := map[*nat.Lease]int{}, map[nat.Endpoint]bool{}
	for owner, ports := range used {
		for ext := range ports {
			if l := r.policy.Owner(owner); l != nil && ownsPort(l, ext) {
				counted[l]++
			} else if l != nil {
				draining[ext] = true
			}
		}
	}
	for _, l := range r.policy.Leases() {
		if l.Used() != counted[l] {
			r.t.Errorf("%v counts %d %v ports in use, its flows have %d", l.Member, l.Used(), l.Protocol, counted[l])
		}
	}
	if n := r.policy.Draining(); n < len(draining) || n > 0 && len(draining) == 0 {
		r.t.Errorf("%d ports drain, flows have %d", n, len(draining))
	}
}

func ownsPort(l *nat.Lease, e nat.Endpoint) bool {
	return slices.ContainsFunc(l.Blocks, func(b nat.PortBlock) bool {
		return b.Frontend == e.Addr && e.Port >= b.First && int(e.Port) < int(b.First)+b.Count
	})
}

// TestAnyRules has rules of every kind and packets of every origin: whatever they
// say, nothing inside shows outside, and no port gets lost.
func TestAnyRules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := drawSite(rapidTB{t, rt}, rt)
		for range rapid.IntRange(1, 80).Draw(rt, "packets") {
			switch rapid.IntRange(0, 19).Draw(rt, "change") {
			case 0:
				r.health(rapid.Bool().Draw(rt, "up"), rapid.SampledFrom(anyInside[:2]).Draw(rt, "member"))
			case 1:
				r.sleep(rapid.SampledFrom([]time.Duration{time.Second, 31 * time.Second, testIdle + 6*time.Second}).Draw(rt, "pause"))
			case 2:
				r.SetBackends("vms", bothBackends[rapid.IntRange(0, 2).Draw(rt, "members"):])
				r.rebalance()
			case 3:
				r.revised(func(c *Change) { drawChange(rt, c) })
			}
			r.proper("")
			from, b := drawPacket(rt, r)
			r.send(from, b)
			r.proper(hostOf(packettest.Fields(t, b).Src))
			r.accounts()
		}
		r.sleep(testIdle*51/50 + 10*time.Second)
		r.proper("")
		r.gone()
	})
}

// drawChange changes who has how many ports, and whether a rule is there.
func drawChange(t *rapid.T, c *Change) {
	if len(c.Policy.Outbound) > 0 {
		out := &c.Policy.Outbound[0]
		out.Ports = rapid.SampledFrom([]int{8, 16, 8000}).Draw(t, "ports")
		out.Members = [][]packet.Addr{{memberAddr}, {otherMember}, {otherMember, memberAddr}}[rapid.IntRange(0, 2).Draw(t, "out")]
	}
	if rule := uint16(rapid.IntRange(ruleWeb, rulePIP).Draw(t, "removed")); rapid.Bool().Draw(t, "remove") {
		c.remove(rule)
	}
}
