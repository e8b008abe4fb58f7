package gateway

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// explains compares what is said of a packet with what then happens to it, and
// wants that saying it has changed nothing.
func (r *rig) explains(from nexthop.Side, k packet.Tuple) Explanation {
	r.t.Helper()
	before, flows, solicited := r.tally(), r.flows(), len(r.hops.solicited)
	e := r.Explain(k, from)
	if diff := cmp.Diff(before, r.tally()); diff != "" {
		r.t.Errorf("explaining %v changed (-before +after):\n%s", k, diff)
	}
	if diff := cmp.Diff(flows, r.flows()); diff != "" || len(r.hops.solicited) != solicited {
		r.t.Errorf("explaining %v changed the flows (-before +after):\n%s", k, diff)
	}
	r.silent()
	verdict := r.send(from, firstOf(k))
	if e.Verdict != verdict || e.From != from || e.Original != k {
		r.t.Fatalf("%v from %v: explained as %+v, and it was %v", k, from, e, verdict)
	}
	sent := [2][]packettest.View{r.take(nexthop.Inside), r.take(nexthop.Outside)}
	if verdict != Forwarded {
		return e
	}
	r.happened(&e, sent)
	for side := range sent {
		if want := nexthop.Side(side) == e.Out; want != (len(sent[side]) == 1) {
			r.t.Fatalf("%v: %d packets went out %v, explained to go out %v", k, len(sent[side]), nexthop.Side(side), e.Out)
		}
	}
	created := r.Snapshot().Counters.Created[e.Rule][conntrack.ProtocolIndex(k.Proto)] - before.Counters.Created[e.Rule][conntrack.ProtocolIndex(k.Proto)]
	if e.Known != (created == 0) {
		r.t.Errorf("%v: known %t, and %d flows of rule %d began", k, e.Known, created, e.Rule)
	}
	return e
}

// tally is all that is counted. A frontend's own lease counts once it was used: it
// is made when it is first asked for.
func (r *rig) tally() Snapshot {
	s := r.Snapshot()
	s.Leases = slices.DeleteFunc(s.Leases, func(l LeaseCounts) bool { return l.Member == 0 && l.Opened+l.Failed == 0 })
	return s
}

// happened compares the addresses. A port for SNAT may be any of those that the
// explanation says it is drawn from.
func (r *rig) happened(e *Explanation, sent [2][]packettest.View) {
	r.t.Helper()
	if len(sent[e.Out]) != 1 {
		r.t.Fatalf("%v: %d packets went out %v", e.Original, len(sent[e.Out]), e.Out)
	}
	v := sent[e.Out][0]
	src, dst := e.Translated.Source().String(), e.Translated.Destination().String()
	if v.Proto == packet.ICMP {
		src, dst = hostOf(src), hostOf(dst)
	}
	if e.Ports.Total > 0 {
		if hostOf(v.Src) != hostOf(src) {
			r.t.Errorf("%v: explained to leave as %s, left as %s", e.Original, src, v.Src)
		}
		src = v.Src
	}
	if v.Src != src || v.Dst != dst {
		r.t.Errorf("%v: explained as %s > %s, left as %s > %s", e.Original, src, dst, v.Src, v.Dst)
	}
	ref, ok := r.table.Lookup(&e.Original)
	if !ok {
		r.t.Fatalf("%v: no flow", e.Original)
	}
	f := r.table.Flow(ref, r.clock)
	if way, inside := r.table.Course(ref); e.Chosen != 0 && !e.Known && f.Backend() != e.Chosen || sideOf(inside) != e.Out || e.Via != 0 && way != e.Via {
		r.t.Errorf("%v: explained to go to %v by way of %v, out %v; its way is %v", e.Original, e.Chosen, e.Via, e.Out, way)
	}
}

// firstOf is the first packet of a flow with that tuple.
func firstOf(k packet.Tuple) []byte {
	switch src, dst := k.Source().String(), k.Destination().String(); k.Proto {
	case packet.TCP:
		return syn(src, dst)
	case packet.UDP:
		return datagram(src, dst)
	case packet.ICMP:
		return packettest.EchoRequest(packettest.Echo{Src: k.Src.String(), Dst: k.Dst.String(), Ident: k.SrcPort})
	}
	return packettest.IPv4(packettest.Packet{Src: k.Src.String(), Dst: k.Dst.String(), Proto: k.Proto})
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		name     string
		from     nexthop.Side
		proto    packet.Protocol
		src, dst string
		want     Explanation // Original and From are filled in
		to       [2]string
	}{
		{"outbound", nexthop.Inside, packet.TCP, client, server, Explanation{
			Rule: ruleEgress, Out: nexthop.Outside, Ports: Lease{Member: memberAddr, Total: memberPorts}, Idle: testIdle,
		}, [2]string{"", server}},
		{"NAT rule", nexthop.Outside, packet.TCP, stranger, frontendSSH, Explanation{
			Rule: ruleSSH, Out: nexthop.Inside, Idle: testIdle,
		}, [2]string{stranger, "10.0.0.10:22"}},
		{"balanced", nexthop.Outside, packet.TCP, stranger, webFrontend, Explanation{
			Rule: ruleWeb, Out: nexthop.Inside, Idle: testIdle, Chosen: memberAddr,
		}, [2]string{stranger, "10.0.0.10:8443"}},
		{"balanced UDP", nexthop.Outside, packet.UDP, stranger, dnsFrontend, Explanation{
			Rule: ruleDNS, Out: nexthop.Inside, Idle: time.Minute, Chosen: memberAddr,
		}, [2]string{stranger, "10.0.0.10:53"}},
		{"floating", nexthop.Outside, packet.TCP, stranger, directFrontend, Explanation{
			Rule: ruleDirect, Out: nexthop.Inside, Idle: testIdle, Chosen: memberAddr, Via: memberAddr,
		}, [2]string{stranger, directFrontend}},
		{"turned", nexthop.Inside, packet.TCP, insideClient, "10.0.0.4:443", Explanation{
			Rule: ruleExact, Out: nexthop.Inside, Idle: testIdle, Chosen: memberAddr, Ports: Lease{Total: 64000},
		}, [2]string{"", "10.0.0.10:8444"}},
		{"instance", nexthop.Inside, packet.ICMP, "10.0.0.20:7", serverHost + ":0", Explanation{
			Rule: rulePIP, Out: nexthop.Outside,
		}, [2]string{"203.0.113.9:7", serverHost + ":0"}},
		{"denied", nexthop.Outside, packet.TCP, "192.0.2.66:1", "10.0.0.4:443", Explanation{Rule: noRule, Verdict: DropNotOurs}, [2]string{}},
		{"no member", nexthop.Inside, packet.TCP, insideClient, server, Explanation{Rule: noRule, Verdict: DropNotMember}, [2]string{}},
		{"to the host", nexthop.Inside, packet.UDP, client, "10.0.0.1:53", Explanation{Rule: noRule, Verdict: LeftToHost}, [2]string{}},
	} {
		r := newSite(t, oneBackend, func(s *siteOptions) { s.Rules[ruleDNS].UDPIdle = time.Minute })
		c.want.Original, c.want.From = packettest.Tuple(c.proto, c.src, c.dst), c.from
		c.want.FromMember = slices.Contains([]string{"10.0.0.10", "10.0.0.20"}, hostOf(c.src))
		c.want.ToFrontend = slices.Contains([]string{"203.0.113.5", "203.0.113.6", "10.0.0.4"}, hostOf(c.dst))
		if c.want.Verdict == Forwarded {
			c.want.NextHop = nexthop.Resolved
		}
		got := r.explains(c.from, c.want.Original)
		if c.to[1] != "" {
			if src := got.Translated.Source().String(); c.to[0] != "" && src != c.to[0] || got.Translated.Destination().String() != c.to[1] || got.Translated.Proto != c.proto {
				t.Errorf("%s: translated to %v", c.name, got.Translated)
			}
		}
		if got.Inbound != nil && int(got.Inbound.Rule) != got.Rule {
			t.Errorf("%s: by rule %d, shown is %d", c.name, got.Rule, got.Inbound.Rule)
		}
		got.Translated, got.Inbound = packet.Tuple{}, nil
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestExplainKnown: of a packet of a flow it shows the flow, and in which direction.
func TestExplainKnown(t *testing.T) {
	r := newSite(t)
	for _, p := range []*pair{r.meet(nexthop.Outside, stranger, webFrontend), r.meet(nexthop.Inside, insideClient, "10.0.0.4:443")} {
		for d, e := range []*end{p.a, p.b} {
			x := r.Explain(packettest.Tuple(packet.TCP, e.local, e.remote), e.side)
			peer := p.other(e)
			if !x.Known || x.Verdict != Forwarded || x.Direction != conntrack.Direction(d) || x.Flow.State != conntrack.Established ||
				x.Translated.Source().String() != peer.remote || x.Translated.Destination().String() != peer.local || x.Out != peer.side {
				t.Errorf("%s > %s: %+v", e.local, e.remote, x)
			}
		}
		if x := r.Explain(packettest.Tuple(packet.TCP, p.b.local, p.b.remote), nexthop.Outside); x.Verdict != DropWrongSide {
			t.Errorf("from the wrong side: %v", x.Verdict)
		}
	}
}

var (
	explainedHosts = []string{
		"10.0.0.10", "10.0.0.11", "10.0.0.20", "10.0.0.30", "10.0.0.50", "10.0.0.4", "10.0.0.5", "10.0.0.1",
		"203.0.113.5", "203.0.113.6", "203.0.113.9", "198.51.100.7", "192.0.2.66", "127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1",
	}
	explainedPorts = []uint16{0, 1, 22, 53, 80, 443, 2222, 5000, 8080, 8443, 8444, 1024, 1030, 1040, 65023, 65024, 65100}
)

func drawTuple(t *rapid.T) packet.Tuple {
	host, port := rapid.SampledFrom(explainedHosts), rapid.SampledFrom(explainedPorts)
	k := packet.Tuple{
		Src: packettest.Addr(host.Draw(t, "src")), SrcPort: port.Draw(t, "src port"),
		Dst: packettest.Addr(host.Draw(t, "dst")), DstPort: port.Draw(t, "dst port"),
		Proto: rapid.SampledFrom([]packet.Protocol{packet.TCP, packet.TCP, packet.UDP, packet.ICMP}).Draw(t, "protocol"),
	}
	if k.Proto != packet.TCP && k.Proto != packet.UDP {
		k.DstPort = 0
	}
	return k
}

// TestExplainedAsItHappens tells of any packet, and sends it, while flows, health
// and neighbours change.
func TestExplainedAsItHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newSite(rapidTB{t, rt}, func(s *siteOptions) {
			s.rules.Outbound[0].Ports = 8
			s.pool.LastResort = rapid.Bool().Draw(rt, "last resort")
		})
		r.hops.sided = rapid.Bool().Draw(rt, "sided")
		for range rapid.IntRange(1, 60).Draw(rt, "packets") {
			switch rapid.IntRange(0, 9).Draw(rt, "change") {
			case 0:
				r.health(rapid.Bool().Draw(rt, "up"), rapid.SampledFrom([]string{"10.0.0.10", "10.0.0.11"}).Draw(rt, "backend"))
			case 1:
				host := rapid.SampledFrom(explainedHosts).Draw(rt, "host")
				r.hops.status[packettest.Addr(host)] = rapid.SampledFrom([]nexthop.Status{nexthop.Resolved, nexthop.NoRoute, nexthop.Elsewhere, nexthop.Unreachable}).Draw(rt, "status")
			case 2:
				r.sleep(31 * time.Second)
			}
			r.explains(rapid.SampledFrom(bothSides).Draw(rt, "side"), drawTuple(rt))
		}
	})
}

// TestExplainExhausted: no port is left, in so many words.
func TestExplainExhausted(t *testing.T) {
	r := newSite(t)
	r.use(server)
	if e := r.explains(nexthop.Inside, packettest.Tuple(packet.TCP, client, server)); e.Verdict != DropExhausted || e.Ports.Used != memberPorts {
		t.Errorf("%+v", e)
	}
	if e := r.explains(nexthop.Inside, packettest.Tuple(packet.TCP, client, secondServer)); e.Verdict != Forwarded {
		t.Errorf("%+v", e)
	}
}

// TestExplainConflict: two frontends lead a client's one port to one backend, which
// could not tell the two flows apart.
func TestExplainConflict(t *testing.T) {
	r := newSite(t, oneBackend, func(s *siteOptions) {
		s.rules.Inbound = append(s.rules.Inbound, siteRule(ruleAny, packet.TCP, "203.0.113.5", 443, 8443, s.pool))
	})
	r.explains(nexthop.Outside, packettest.Tuple(packet.TCP, stranger, webFrontend))
	if e := r.explains(nexthop.Outside, packettest.Tuple(packet.TCP, stranger, "203.0.113.5:443")); e.Verdict != DropConflict {
		t.Errorf("%+v", e)
	}
}
