package gateway

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// buried is a connection that was given up, whose RSTs were lost on the way.
func (r *rig) buried(from nexthop.Side) *pair {
	r.t.Helper()
	p := r.dial(from, 0xfffffff0, 5000)
	p.talk(100)
	r.sleep(testIdle * 51 / 50)
	r.take(nexthop.Inside)
	r.take(nexthop.Outside)
	r.gone()
	return p
}

func sides(t *testing.T, f func(t *testing.T, from nexthop.Side)) {
	for _, from := range []nexthop.Side{nexthop.Inside, nexthop.Outside} {
		t.Run("opened from "+from.String(), func(t *testing.T) { f(t, from) })
	}
}

// asks sends a segment of a flow given up and wants the RST that answers it.
func (p *pair) asks(t *testing.T, e *end, s packettest.Segment) {
	t.Helper()
	p.r.expect(Reset, e.side, packettest.TCP(s))
	got := p.r.one(e.side)
	want := packettest.View{Src: e.remote, Dst: e.local, Proto: packet.TCP, TTL: 64, DF: true, ID: got.ID, Seq: s.Ack, Flags: packet.RST}
	if s.Flags&packet.ACK == 0 {
		want.Seq, want.Ack, want.Flags = 0, s.Seq+uint32(len(s.Payload)), packet.RST|packet.ACK
		if s.Flags&packet.SYN != 0 {
			want.Ack++
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the answer to %s (-want +got):\n%s", packettest.Describe(packettest.TCP(s)), diff)
	}
	p.r.silent()
	if s.Flags&packet.ACK != 0 {
		e.receive(got)
		if e.closed != (s.Ack == e.want) {
			t.Errorf("%s expects %d and is closed: %t", e.local, e.want, e.closed)
		}
	}
}

func TestTombstoneAnswers(t *testing.T) {
	sides(t, func(t *testing.T, from nexthop.Side) {
		rule := map[nexthop.Side]int{nexthop.Inside: ruleEgress, nexthop.Outside: ruleSSH}[from]
		for _, c := range []struct {
			name   string
			change func(*packettest.Segment)
			reason ResetReason
		}{
			{"challenge ACK", func(*packettest.Segment) {}, ResetChallenge},
			{"ACK of something else", func(s *packettest.Segment) { s.Ack -= 50 }, ResetChallenge},
			{"data", func(s *packettest.Segment) { s.Payload = "is anybody there?" }, ResetLate},
			{"FIN", func(s *packettest.Segment) { s.Flags |= packet.FIN }, ResetLate},
			{"SYN|ACK", func(s *packettest.Segment) { s.Flags |= packet.SYN }, ResetLate},
			{"neither ACK nor SYN", func(s *packettest.Segment) { s.Flags, s.Payload = 0, "scan" }, ResetLate},
		} {
			for who := range 2 {
				r := newRig(t)
				p := r.buried(from)
				e := []*end{p.a, p.b}[who]
				s := e.segment(packet.ACK, "")
				c.change(&s)
				before := r.Snapshot().Counters.Resets[rule]
				p.asks(t, e, s)
				want := before
				want[c.reason][who]++
				if diff := cmp.Diff(want, r.Snapshot().Counters.Resets[rule]); diff != "" {
					t.Errorf("%s of %s is counted as (-want +got):\n%s", c.name, e.local, diff)
				}
			}
		}
	})
}

func TestTombstoneNeverAnswersARST(t *testing.T) {
	sides(t, func(t *testing.T, from nexthop.Side) {
		p := newRig(t).buried(from)
		for _, e := range []*end{p.a, p.b} {
			for _, flags := range []uint8{packet.RST, packet.RST | packet.ACK, packet.RST | packet.SYN | packet.ACK, packet.RST | packet.SYN} {
				p.r.expect(DropNoFlow, e.side, packettest.TCP(e.segment(flags, "")))
			}
		}
		p.r.silent()
	})
}

func TestTombstoneIsDeafToTheWrongSide(t *testing.T) {
	sides(t, func(t *testing.T, from nexthop.Side) {
		p := newRig(t).buried(from)
		for _, e := range []*end{p.a, p.b} {
			p.r.expect(DropWrongSide, opposite(e.side), packettest.TCP(e.segment(packet.ACK, "spoofed")))
			p.r.expect(DropWrongSide, opposite(e.side), packettest.TCP(e.segment(packet.SYN, "")))
		}
		p.r.silent()
	})
}

func TestTombstoneMakesWayForANewFlow(t *testing.T) {
	sides(t, func(t *testing.T, from nexthop.Side) {
		p := newRig(t).buried(from)
		p.a.next, p.b.next = 77, 88
		p.b.remote = ""
		p.handshake()
		p.talk(10)
		if n := p.r.table.Len(); n != 1 {
			t.Errorf("%d flows live", n)
		}
		p.expire()
		p.reset(t, 1, 1)
	})
}

// A SYN from the end that was called is no new flow.
func TestTombstoneAnswersTheServersSYN(t *testing.T) {
	sides(t, func(t *testing.T, from nexthop.Side) {
		p := newRig(t).buried(from)
		s := p.b.segment(packet.SYN, "")
		s.Ack = 0
		p.asks(t, p.b, s)
	})
}

func TestTombstoneLife(t *testing.T) {
	sides(t, func(t *testing.T, from nexthop.Side) {
		r := newRig(t, lateOff)
		p := r.dial(from, 1, 2)
		for len(r.sent[0]) == 0 {
			r.sleep(50 * time.Millisecond)
		}
		r.take(nexthop.Inside)
		r.take(nexthop.Outside)
		r.sleep(29 * time.Second)
		p.asks(t, p.a, p.a.segment(packet.ACK, ""))
		p.asks(t, p.b, p.b.segment(packet.ACK, ""))
		r.sleep(1100 * time.Millisecond) // being asked does not lengthen its life
		for _, e := range []*end{p.a, p.b} {
			r.expect(DropNoFlow, e.side, packettest.TCP(e.segment(packet.ACK, "")))
		}
		r.silent()
	})
}

func TestTombstoneAnswersAreLimited(t *testing.T) {
	p := newRig(t).buried(nexthop.Inside)
	p.r.resetLimit = newLimit(10, 2)
	for range 2 {
		p.r.expect(Reset, p.a.side, packettest.TCP(p.a.segment(packet.ACK, "")))
	}
	p.r.expect(DropNoFlow, p.a.side, packettest.TCP(p.a.segment(packet.ACK, "")))
	if n := len(p.r.take(p.a.side)); n != 2 {
		t.Errorf("%d answers, want 2", n)
	}
}

// The port of a flow given up is free at once, for the same destination too.
func TestPortIsFreeWhileTheTombstoneStands(t *testing.T) {
	r := newRig(t, lateOff)
	old := make([]*pair, memberPorts)
	for n := range old {
		p := &pair{r: r, a: &end{local: tcpPort(n), remote: server}, b: &end{side: nexthop.Outside, local: server}}
		p.handshake()
		old[n] = p
	}
	r.expect(DropExhausted, nexthop.Inside, syn(client, server))
	r.take(nexthop.Inside)
	r.sleep(testIdle * 51 / 50)
	r.take(nexthop.Inside)
	r.take(nexthop.Outside)
	r.gone()
	r.use(secondServer) // every port has a flow, if with somebody else
	taken := map[string]bool{}
	for n := range memberPorts {
		taken[r.pass(nexthop.Inside, syn(tcpPort(100+n), server)).Src] = true
	}
	if len(taken) != memberPorts {
		t.Errorf("new flows have %d ports, want %d", len(taken), memberPorts)
	}
	for _, p := range old { // whose tombstones the new flows have replaced
		r.expect(DropNoFlow, nexthop.Inside, packettest.TCP(p.a.segment(packet.ACK, "")))
	}
	if n := r.Snapshot().Counters.Closed[ruleEgress][indexTCP][conntrack.Idle]; n != memberPorts {
		t.Errorf("%d flows are counted as idle, want %d", n, memberPorts)
	}
}

// Tombstones do not count against maxFlows.
func TestTombstonesGiveWayWhenTheTableIsFull(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxFlows = 2 })
	r.buried(nexthop.Inside)
	r.pass(nexthop.Inside, datagram(client, server))
	r.pass(nexthop.Inside, datagram(client, secondServer))
	r.expect(DropTableFull, nexthop.Inside, datagram(client, "198.51.100.9:1"))
}
