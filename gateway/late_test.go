package gateway

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// lateCases are segments for which there is no flow, by who sends them.
var lateCases = []struct {
	name     string
	from     nexthop.Side
	src, dst string
	rule     int
	sender   conntrack.Direction
}{
	{"member to the outside", nexthop.Inside, client, server, ruleEgress, conntrack.Original},
	{"server to a SNAT port", nexthop.Outside, server, "203.0.113.5:1030", ruleEgress, conntrack.Reply},
	{"client of a NAT rule", nexthop.Outside, stranger, frontendSSH, ruleSSH, conntrack.Original},
	{"backend of a NAT rule", nexthop.Inside, "10.0.0.10:22", stranger, ruleSSH, conntrack.Reply},
	{"client of a balanced rule", nexthop.Outside, stranger, webFrontend, ruleWeb, conntrack.Original},
	{"backend of a balanced rule", nexthop.Inside, "10.0.0.11:8443", stranger, ruleWeb, conntrack.Reply},
	{"member that is one", nexthop.Inside, client, webFrontend, ruleWeb, conntrack.Original},
	{"client of a floating rule", nexthop.Outside, stranger, directFrontend, ruleDirect, conntrack.Original},
	{"backend of a floating rule", nexthop.Inside, directFrontend, stranger, ruleDirect, conntrack.Reply},
	{"client inside", nexthop.Inside, insideClient, "10.0.0.4:443", ruleExact, conntrack.Original},
	{"backend of an internal frontend", nexthop.Inside, "10.0.0.11:8444", insideClient, ruleExact, conntrack.Reply},
	{"client of HA ports", nexthop.Inside, insideClient, "10.0.0.4:444", ruleAny, conntrack.Original},
	{"client of an instance's address", nexthop.Outside, stranger, "203.0.113.9:22", rulePIP, conntrack.Original},
	{"instance", nexthop.Inside, "10.0.0.20:22", stranger, rulePIP, conntrack.Original},
}

// TestLate: whoever speaks without a flow is told, if the rule that would have it
// says so, and is counted by it.
func TestLate(t *testing.T) {
	for _, c := range lateCases {
		for _, s := range []packettest.Segment{
			{Seq: 7, Ack: 77, Flags: packet.ACK}, {Seq: 7, Ack: 77, Flags: packet.ACK | packet.PSH, Payload: "data"},
			{Seq: 7, Ack: 77, Flags: packet.ACK | packet.FIN}, {Seq: 7, Ack: 77, Flags: packet.ACK | packet.SYN}, {Seq: 7, Payload: "scan"},
		} {
			r := newSite(t)
			s.Src, s.Dst = c.src, c.dst
			r.expect(Reset, c.from, packettest.TCP(s))
			want := packettest.View{Src: c.dst, Dst: c.src, Proto: packet.TCP, TTL: 64, DF: true, Seq: 77, Flags: packet.RST}
			if s.Flags&packet.ACK == 0 {
				want.Seq, want.Ack, want.Flags = 0, 7+4, packet.RST|packet.ACK
			}
			got := r.one(c.from)
			want.ID = got.ID
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.name, diff)
			}
			var sent [2]uint64
			sent[c.sender] = 1
			for rule, resets := range r.Snapshot().Counters.Resets {
				if n := resets[ResetLate]; rule == c.rule && n != sent || rule != c.rule && n != [2]uint64{} {
					t.Errorf("%s: counted %v for rule %d", c.name, n, rule)
				}
			}
			r.silent()
			r.gone()
		}
	}
}

func TestLateOff(t *testing.T) {
	for _, c := range lateCases {
		r := newSite(t, func(s *siteOptions) { s.Rules[c.rule].Late = false })
		for _, flags := range []uint8{packet.ACK, packet.ACK | packet.FIN, packet.ACK | packet.SYN, 0} {
			r.expect(DropNoFlow, c.from, packettest.TCP(packettest.Segment{Src: c.src, Dst: c.dst, Flags: flags}))
		}
		r.silent()
	}
}

// TestLateRST is never answered (RFC 9293 §3.10.7.1).
func TestLateRST(t *testing.T) {
	for _, c := range lateCases {
		r := newSite(t)
		for _, flags := range []uint8{packet.RST, packet.RST | packet.ACK, packet.RST | packet.SYN} {
			r.expect(DropNoFlow, c.from, packettest.TCP(packettest.Segment{Src: c.src, Dst: c.dst, Flags: flags}))
		}
		r.silent()
	}
}

// TestLateOfNoRule: where no rule would have the flow, nobody is told.
func TestLateOfNoRule(t *testing.T) {
	for _, c := range []struct {
		want     Verdict
		from     nexthop.Side
		src, dst string
	}{
		{DropNoFlow, nexthop.Outside, stranger, "203.0.113.5:80"},
		{DropNoFlow, nexthop.Outside, stranger, "203.0.113.5:1072"}, // a SNAT port that no member has
		{DropNoFlow, nexthop.Outside, stranger, "203.0.113.6:65100"},
		{DropNotOurs, nexthop.Outside, stranger, "10.0.0.4:443"},
		{DropNotMember, nexthop.Inside, insideClient, server},
		{DropNoRule, nexthop.Inside, ruleless, server},
		{DropMartian, nexthop.Outside, directFrontend, frontendSSH},
	} {
		r := newSite(t)
		r.expect(c.want, c.from, packettest.TCP(packettest.Segment{Src: c.src, Dst: c.dst, Ack: 7, Flags: packet.ACK}))
		r.silent()
	}
}

// TestMute: without lateTcpReset a flow that was reset for being idle answers
// challenge ACKs, and nothing else.
func TestMute(t *testing.T) {
	r := newSite(t, func(s *siteOptions) { s.Rules[ruleWeb].Late = false })
	p := r.meet(nexthop.Outside, stranger, webFrontend)
	r.sleep(testIdle * 51 / 50)
	r.take(nexthop.Inside)
	r.take(nexthop.Outside)
	for _, e := range []*end{p.a, p.b} {
		r.expect(DropNoFlow, e.side, packettest.TCP(e.segment(packet.ACK|packet.PSH, "anybody there?")))
		r.expect(DropNoFlow, e.side, packettest.TCP(e.segment(packet.ACK|packet.FIN, "")))
		r.silent()
		p.asks(t, e, e.segment(packet.ACK, ""))
	}
	if n := r.Snapshot().Counters.Resets[ruleWeb]; n[ResetLate] != [2]uint64{} || n[ResetChallenge] != [2]uint64{1, 1} {
		t.Errorf("counted %v", n)
	}
}

// TestMuteButKilled: a rule without RST answers for the flows that an operator has
// ended with one.
func TestMuteButKilled(t *testing.T) {
	r := newSite(t, func(s *siteOptions) { s.Rules[ruleWeb].Reset, s.Rules[ruleWeb].Late = false, false })
	p := r.meet(nexthop.Outside, stranger, webFrontend)
	if n, err := r.Kill(func(*conntrack.Flow) bool { return true }); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	r.take(nexthop.Inside)
	r.take(nexthop.Outside)
	p.asks(t, p.a, p.a.segment(packet.ACK, "data"))
	p.asks(t, p.b, p.b.segment(packet.ACK, "data"))
}

// TestLateWithoutReset: the rule gives flows up in silence, and tells who speaks
// afterwards.
func TestLateWithoutReset(t *testing.T) {
	r := newSite(t, func(s *siteOptions) { s.Rules[ruleWeb].Reset = false })
	p := r.meet(nexthop.Outside, stranger, webFrontend)
	r.sleep(testIdle * 51 / 50)
	r.silent()
	p.asks(t, p.a, p.a.segment(packet.ACK, "data"))
	p.asks(t, p.b, p.b.segment(packet.ACK, "data"))
	if n := r.Snapshot().Counters.Resets[ruleWeb]; n[ResetLate] != [2]uint64{1, 1} {
		t.Errorf("counted %v", n)
	}
}

// TestDenied: who the list doesn't permit begins no flow and learns nothing, on
// whichever side; a flow that lives is not asked again.
func TestDenied(t *testing.T) {
	permit := func(order int, permit bool, network string) nat.ACLEntry {
		return nat.ACLEntry{Order: order, Permit: permit, Network: packettest.Addr(network), Mask: packettest.Addr("255.255.255.0")}
	}
	r := newSite(t, func(s *siteOptions) {
		s.rules.Inbound[1].ACL = nat.ACL{permit(1, false, "198.51.100.0"), permit(2, true, "192.0.2.0")}
		s.rules.Inbound[4].ACL = nat.ACL{permit(1, true, "10.0.1.0")}
	})
	r.expect(DropDenied, nexthop.Outside, syn("198.51.100.9:1", webFrontend))
	r.expect(DropDenied, nexthop.Outside, syn("203.0.113.99:1", webFrontend))
	r.expect(DropDenied, nexthop.Outside, packettest.TCP(packettest.Segment{Src: "198.51.100.9:1", Dst: webFrontend, Flags: packet.ACK}))
	r.expect(DropDenied, nexthop.Inside, syn(client, webFrontend))
	r.expect(DropDenied, nexthop.Inside, syn(insideClient, "10.0.0.4:443"))
	r.silent()
	r.gone()
	r.pass(nexthop.Outside, syn("198.51.100.9:1", directFrontend)) // another rule's port
	p := r.meet(nexthop.Outside, stranger, webFrontend)
	p.talk(10)
	r.meet(nexthop.Inside, "10.0.1.7:5000", "10.0.0.4:443").talk(10)
}

// asking has every rule ask before it gives a flow up.
func asking(s *siteOptions) {
	for i := range s.Rules {
		s.Rules[i].Ask = true
	}
}

// TestKeepalive is the question on the wire: at the right end, a byte that it has
// acknowledged, and no more acknowledged than the other end has said.
func TestKeepalive(t *testing.T) {
	dial := map[string]func(*rig) *pair{
		"out":      func(r *rig) *pair { return r.dial(nexthop.Inside, 1, 0xffffff00) },
		"balanced": func(r *rig) *pair { return r.meet(nexthop.Outside, stranger, webFrontend) },
		"turned":   func(r *rig) *pair { return r.meet(nexthop.Inside, insideClient, "10.0.0.4:443") },
	}
	for name, open := range dial {
		t.Run(name, func(t *testing.T) {
			r := newSite(t, asking)
			p := open(r)
			p.talk(300)
			acked := []uint32{p.a.next, p.b.next}
			p.say(p.a, 7) // which the other end has not acknowledged
			r.sleep(testIdle)
			r.silent()
			r.sleep(time.Second)
			p.questioned(t, acked...)
			r.sleep(2 * time.Second)
			p.questioned(t, acked...) // no answer: again
			p.ack(p.a)
			r.sleep(2 * time.Second)
			p.a.closed = true // it has answered, and is not asked
			p.questioned(t, acked...)
			p.a.closed = false
			p.ack(p.b)
			r.sleep(testIdle - time.Second)
			r.silent()
			if n := r.table.Len(); n != 1 {
				t.Fatalf("%d flows live", n)
			}
			p.ack(p.a)
			r.sleep(testIdle + 8*time.Second)
			resets := 0
			for _, side := range bothSides {
				for _, v := range r.take(side) {
					if v.Flags&packet.RST != 0 {
						resets++
					}
				}
			}
			if resets != 2 || r.table.Len() != 0 {
				t.Errorf("nobody answers: %d resets, %d flows", resets, r.table.Len())
			}
		})
	}
}

// questioned wants one keepalive at each end that is not closed, and nothing else.
// acked is what of its own each end has seen acknowledged.
func (p *pair) questioned(t *testing.T, acked ...uint32) {
	t.Helper()
	var want, got []packettest.View
	for i, e := range []*end{p.a, p.b} {
		if !e.closed {
			want = append(want, packettest.View{
				Src: e.remote, Dst: e.local, Proto: packet.TCP, TTL: 64, DF: true,
				Seq: acked[i^1] - 1, Ack: acked[i], Flags: packet.ACK, Window: 0xffff,
			})
		}
	}
	for _, side := range bothSides {
		for _, v := range p.r.take(side) {
			v.ID = 0
			got = append(got, v)
		}
	}
	if len(got) == 2 && got[0].Dst != want[0].Dst {
		got[0], got[1] = got[1], got[0]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}
