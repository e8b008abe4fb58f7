package gateway

import (
	"strings"
	"testing"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// sayInPieces is say with a segment that the sender's host has fragmented.
func (p *pair) sayInPieces(from *end, flags uint8, order func([][]byte) [][]byte) {
	p.r.t.Helper()
	s := from.segment(flags, strings.Repeat("x", 1300))
	s.Options, s.ID = []packettest.Option{packettest.Timestamps(1, 2)}, uint16(from.next)
	whole, side := p.r.inPieces(from.side, packettest.TCP(s), order)
	if to := p.other(from); side != to.side {
		p.r.t.Fatalf("it came out %v", side)
	}
	p.other(from).receive(packettest.Fields(p.r.t, whole))
	from.next += 1300
	if flags&packet.FIN != 0 {
		from.next++
	}
}

// received wants that the other end has all that was sent.
func (p *pair) received(t *testing.T, from *end) {
	t.Helper()
	if to := p.other(from); to.want != from.next {
		t.Fatalf("%s expects %d, %d was sent", to.local, to.want, from.next)
	}
}

// TestResetAfterFragments: the number of the last byte is known, whatever came last,
// so that the RST on idle is exact.
func TestResetAfterFragments(t *testing.T) {
	for name, order := range orders {
		sides(t, func(t *testing.T, from nexthop.Side) {
			for _, isn := range []uint32{1000, 0xffffff00, 0x7fffff00} {
				p := newRig(t).dial(from, isn, isn+77)
				p.sayInPieces(p.a, packet.ACK, order)
				p.sayInPieces(p.b, packet.ACK|packet.PSH, order)
				p.received(t, p.a)
				p.received(t, p.b)
				p.expire() // neither has acknowledged by itself
				if !p.a.closed || !p.b.closed {
					t.Errorf("%s, from %#x: closed %t and %t", name, isn, p.a.closed, p.b.closed)
				}
			}
			p := newTunnelRig(t, ssh()).dial(from, 5, 6)
			p.sayInPieces(p.a, packet.ACK, order)
			p.sayInPieces(p.b, packet.ACK, order)
			p.ack(p.a)
			p.expire()
			if !p.a.closed || !p.b.closed {
				t.Errorf("%s, tunnel: closed %t and %t", name, p.a.closed, p.b.closed)
			}
		})
	}
}

// TestFragmentsOfAFIN: the connection closes as with whole segments, and what
// acknowledges it is plausible.
func TestFragmentsOfAFIN(t *testing.T) {
	for name, order := range orders {
		p := newRig(t).dial(nexthop.Inside, 1, 2)
		p.sayInPieces(p.a, packet.ACK|packet.FIN, order)
		if s := p.r.flows()[0].State; s != conntrack.FinWait {
			t.Errorf("%s: the flow is %v", name, s)
		}
		p.b.want = p.a.next
		p.ack(p.b)
		p.hangUp(p.b)
		if s := p.r.flows()[0].State; s != conntrack.TimeWait {
			t.Errorf("%s: the flow is %v", name, s)
		}
	}
}

// TestResetAfterFragmentsOneWay: of a floating flow only the client is heard.
func TestResetAfterFragmentsOneWay(t *testing.T) {
	for name, order := range orders {
		r := newSite(t, oneBackend)
		p := r.oneWay(nexthop.Outside, stranger, directFrontend)
		p.sayInPieces(p.a, packet.ACK, order)
		p.received(t, p.a)
		r.sleep(testIdle * 51 / 50)
		p.arrive()
		if !p.a.closed || !p.b.closed {
			t.Errorf("%s: closed %t and %t", name, p.a.closed, p.b.closed)
		}
	}
}

// TestFragmentsTeachNothingBeyondTheWindow: a later fragment is as little believed
// as a segment.
func TestFragmentsTeachNothingBeyondTheWindow(t *testing.T) {
	p := newRig(t).dial(nexthop.Inside, 1000, 2000)
	p.talk(10)
	before := p.r.flows()[0].MaxEnd
	wild := p.a.segment(packet.ACK, strings.Repeat("x", 1300))
	wild.Seq += 1 << 30
	p.r.inPieces(nexthop.Inside, packettest.TCP(wild), orders["in order"])
	if now := p.r.flows()[0].MaxEnd; now != before {
		t.Errorf("the numbers became %v, were %v", now, before)
	}
	p.expire()
	p.reset(t, 1, 1)
}
