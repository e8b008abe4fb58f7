package gateway

import (
	"testing"
	"time"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// noise is what happens on an open connection before it falls silent, and how
// many RSTs each end gets then: two where bytes are not known to have arrived.
type noise struct {
	name       string
	make       func(*pair)
	isnA, isnB uint32
	toA, toB   int // 1 if zero
}

// shifted is a bare ACK of e with its numbers moved.
func shifted(e *end, seq, ack int32) packettest.Segment {
	s := e.segment(packet.ACK, "")
	s.Seq += uint32(seq)
	s.Ack += uint32(ack)
	return s
}

func withPayload(s packettest.Segment, payload string) packettest.Segment {
	s.Payload = payload
	return s
}

// fromBoth makes the noise of either end.
func fromBoth(f func(p *pair, e *end)) func(*pair) {
	return func(p *pair) {
		p.talk(100)
		f(p, p.a)
		f(p, p.b)
	}
}

var noises = []noise{
	{name: "none", make: func(*pair) {}},
	{name: "data", make: func(p *pair) { p.talk(1000) }},
	{name: "keepalive probe", make: fromBoth(func(p *pair, e *end) {
		p.send(e, shifted(e, -1, 0))
		p.ack(p.other(e))
	})},
	{name: "keepalive probe with a byte", make: fromBoth(func(p *pair, e *end) {
		p.send(e, withPayload(shifted(e, -1, 0), "\x00"))
		p.ack(p.other(e))
	})},
	{name: "old retransmission", make: fromBoth(func(p *pair, e *end) {
		p.send(e, withPayload(shifted(e, -100, -100), "a segment that was thought lost"))
	})},
	{name: "late duplicate ACK", make: fromBoth(func(p *pair, e *end) { p.send(e, shifted(e, -100, -100)) })},
	{name: "late duplicate ACK of the handshake", make: func(p *pair) {
		late := p.a.segment(packet.ACK, "")
		p.talk(1400)
		p.send(p.a, late)
	}},
	{name: "wrap of both", isnA: 0xffffffff, isnB: 0xffffff80, make: func(p *pair) { p.talk(1000); p.talk(10) }},
	{name: "wrap of one, then the probe", isnA: 0xfffffffe, make: fromBoth(func(p *pair, e *end) { p.send(e, shifted(e, -1, 0)) })},
	{name: "around the middle", isnA: 0x7ffffff0, isnB: 0x7ffffffe, make: func(p *pair) { p.talk(500) }},
	{name: "a number of zero", isnA: 0xffffffff - 100, isnB: 0xffffffff - 100, make: func(p *pair) { p.talk(100) }},
	{name: "blind segment, sequence far ahead", make: fromBoth(func(p *pair, e *end) {
		p.send(e, withPayload(shifted(e, 1<<30, 0), "blind"))
		p.send(e, withPayload(shifted(e, 20<<20, 0), "blind"))
	})},
	{name: "blind segment, sequence long past", make: fromBoth(func(p *pair, e *end) { p.send(e, withPayload(shifted(e, -1<<30, 0), "blind")) })},
	{name: "blind segment, acknowledges what was never sent", make: fromBoth(func(p *pair, e *end) {
		p.send(e, shifted(e, 0, 1))
		p.send(e, shifted(e, 0, 1<<30))
	})},
	{name: "blind segment, acknowledges what is long past", make: fromBoth(func(p *pair, e *end) { p.send(e, shifted(e, 0, -1<<30)) })},
	{name: "blind segment, both numbers wrong", make: fromBoth(func(p *pair, e *end) { p.send(e, withPayload(shifted(e, 1<<31-1, -1<<31), "blind")) })},
	{name: "blind RST", make: fromBoth(func(p *pair, e *end) {
		s := shifted(e, 1<<30, 0)
		s.Flags = packet.RST
		p.forward(e, s)
	})},
	{name: "blind SYN", make: fromBoth(func(p *pair, e *end) {
		s := shifted(e, 12345, 0)
		s.Flags, s.Ack = packet.SYN, 0
		p.forward(e, s)
		p.ack(p.other(e)) // the challenge ACK
	})},
	{name: "blind SYN|ACK", make: fromBoth(func(p *pair, e *end) {
		s := shifted(e, 12345, 7)
		s.Flags |= packet.SYN
		p.forward(e, s)
	})},
	{name: "segment without ACK", make: fromBoth(func(p *pair, e *end) {
		s := withPayload(shifted(e, 10, 0), "null scan")
		s.Flags = 0
		p.forward(e, s)
	})},
	{name: "SYN again", make: func(p *pair) {
		p.talk(100)
		s := p.a.segment(packet.SYN, "")
		s.Seq, s.Ack = 999, 0
		p.forward(p.a, s)
	}},
	{name: "bytes that were lost behind the gateway", toA: 2, make: func(p *pair) {
		p.talk(100)
		p.forward(p.b, p.b.segment(packet.ACK, "never seen"))
	}},
	{name: "bytes whose acknowledgment was lost before the gateway", toA: 2, make: func(p *pair) {
		p.talk(100)
		p.say(p.b, 50)
	}},
	{name: "the same both ways", toA: 2, toB: 2, make: func(p *pair) {
		p.talk(100)
		fromA, fromB := withPayload(shifted(p.a, 0, 0), "crossing"), withPayload(shifted(p.b, 0, 0), "on the way")
		p.send(p.a, fromA)
		p.send(p.b, fromB)
	}},
	{name: "blind FIN", make: fromBoth(func(p *pair, e *end) {
		s := shifted(e, 1<<30, 0)
		s.Flags |= packet.FIN
		p.send(e, s)
	})},
	{name: "segments out of order, the first lost", toA: 2, make: func(p *pair) {
		p.talk(100)
		p.send(p.b, withPayload(shifted(p.b, 1000, 0), "comes after a gap"))
		p.ack(p.a)
	}},
	{name: "probe of a closed window with a byte that is refused", toB: 2, make: func(p *pair) {
		p.talk(100)
		closed := p.b.segment(packet.ACK, "")
		closed.ZeroWindow = true
		p.send(p.b, closed)
		p.forward(p.a, p.a.segment(packet.ACK, "z"))
		p.send(p.b, closed)
	}},
}

func TestResetNumbers(t *testing.T) {
	for _, from := range []nexthop.Side{nexthop.Inside, nexthop.Outside} {
		rule := map[nexthop.Side]string{nexthop.Inside: "outbound", nexthop.Outside: "inbound"}[from]
		for _, n := range noises {
			t.Run(rule+"/"+n.name, func(t *testing.T) {
				p := newRig(t).dial(from, n.isnA, n.isnB)
				n.make(p)
				p.deliver()
				p.expire()
				p.reset(t, max(n.toA, 1), max(n.toB, 1))
			})
		}
	}
}

// Everything about the RST that its number is not.
func TestResetIsWellFormed(t *testing.T) {
	p := newRig(t).dial(nexthop.Inside, 1, 2)
	p.talk(10)
	p.say(p.a, 7) // not acknowledged: the server gets two
	p.r.sleep(testIdle * 51 / 50)
	seen := map[uint16]bool{}
	for side, e := range []*end{p.a, p.b} {
		for _, v := range p.r.take(nexthop.Side(side)) {
			if v.Flags != packet.RST|packet.ACK || v.TTL != 64 || v.Window != 0 || v.Payload != "" || v.Options != "" || v.IPOptions != "" {
				t.Errorf("%+v", v)
			}
			if v.Ack != e.next {
				t.Errorf("%s got a RST that acknowledges %d, it has sent up to %d", e.local, v.Ack, e.next)
			}
			seen[v.ID] = true
		}
	}
	for _, e := range []*end{p.a, p.b} {
		p.r.expect(Reset, e.side, packettest.TCP(e.segment(packet.ACK, "")))
		seen[p.r.one(e.side).ID] = true
	}
	if len(seen) != 3+2 {
		t.Errorf("five packets have the IP identifications %v", seen)
	}
	if n := p.r.Snapshot().Counters.Resets[ruleEgress]; n[ResetIdle] != [2]uint64{1, 1} {
		t.Errorf("resets are counted %v", n)
	}
}

func TestTrafficRestartsTheTimer(t *testing.T) {
	for name, speak := range map[string]func(p *pair){
		"keepalive of the client": func(p *pair) { p.send(p.a, shifted(p.a, -1, 0)) },
		"keepalive of the server": func(p *pair) { p.send(p.b, shifted(p.b, -1, 0)) },
		"answer to a keepalive":   func(p *pair) { p.ack(p.b) },
		"data":                    func(p *pair) { p.talk(10) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newRig(t).dial(nexthop.Inside, 1, 2)
			for range 3 {
				p.r.sleep(testIdle - time.Second)
				speak(p)
			}
			p.r.silent()
			p.expire()
			p.reset(t, 1, 1)
		})
	}
}

// A RST that is in the window but not exact passes, and changes nothing: not even
// two of them, of which the receiver answers only the first, end a quiet flow.
func TestInexactReset(t *testing.T) {
	inexact := func(p *pair) {
		s := shifted(p.b, 100, 0)
		s.Flags = packet.RST
		p.forward(p.b, s)
	}
	p := newRig(t).dial(nexthop.Inside, 1, 2)
	inexact(p)
	p.ack(p.a) // the challenge ACK
	p.expire()
	p.reset(t, 1, 1)

	p = newRig(t).dial(nexthop.Inside, 1, 2)
	inexact(p)
	p.ack(p.a)
	inexact(p) // within half a second, which Linux doesn't answer
	p.r.sleep(testIdle - time.Second)
	p.r.silent()
	p.r.sleep(testIdle/50 + time.Second)
	p.deliver()
	p.reset(t, 1, 1)
}
