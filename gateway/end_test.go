package gateway

import (
	"strings"
	"testing"
	"time"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// end is one end of a TCP connection: it takes what comes in order, and a RST
// that carries exactly RCV.NXT closes it (RFC 5961 §3). It knows its own
// addresses and numbers and nothing of the gateway.
type end struct {
	side          nexthop.Side
	local, remote string
	next          uint32 // SND.NXT
	want          uint32 // RCV.NXT
	closed        bool
	resets        int // RSTs that came, accepted or not
}

// segment is what the end would send now.
func (e *end) segment(flags uint8, payload string) packettest.Segment {
	return packettest.Segment{Src: e.local, Dst: e.remote, Seq: e.next, Ack: e.want, Flags: flags, Payload: payload}
}

func (e *end) receive(v packettest.View) {
	if v.Flags&packet.RST != 0 {
		e.resets++
		e.closed = e.closed || v.Seq == e.want
		return
	}
	if v.Seq != e.want {
		return
	}
	e.want += uint32(len(v.Payload))
	if v.Flags&(packet.SYN|packet.FIN) != 0 {
		e.want++
	}
}

// pair is a connection through the gateway: a opened it, b was called.
type pair struct {
	r    *rig
	a, b *end
}

// wide are the options of a SYN whose end scales its window.
var wide = []packettest.Option{packettest.MSS(1460), packettest.WScale(7)}

// dial brings a connection to ESTABLISHED, out by the outbound rule or in by the
// inbound NAT rule, with those initial sequence numbers.
func (r *rig) dial(from nexthop.Side, isnA, isnB uint32) *pair {
	r.t.Helper()
	p := &pair{r: r, a: &end{side: nexthop.Inside, local: client, remote: server}, b: &end{side: nexthop.Outside, local: server}}
	if from == nexthop.Outside {
		p.a = &end{side: nexthop.Outside, local: stranger, remote: "203.0.113.5:2222"}
		p.b = &end{side: nexthop.Inside, local: "10.0.0.10:22"}
	}
	p.a.next, p.b.next = isnA, isnB
	p.handshake()
	return p
}

func (p *pair) handshake() {
	p.r.t.Helper()
	hello := p.a.segment(packet.SYN, "")
	hello.Ack, hello.Options = 0, wide
	v := p.forward(p.a, hello)
	p.b.remote, p.b.want = v.Src, v.Seq+1
	p.a.next++
	answer := p.b.segment(packet.SYN|packet.ACK, "")
	answer.Options = wide
	p.a.want = p.forward(p.b, answer).Seq + 1
	p.b.next++
	p.ack(p.a)
}

func (p *pair) other(e *end) *end {
	if e == p.a {
		return p.b
	}
	return p.a
}

// forward takes a segment through the gateway and wants the addresses that the
// other end knows. It is not received there.
func (p *pair) forward(from *end, s packettest.Segment) packettest.View {
	p.r.t.Helper()
	v := p.r.pass(from.side, packettest.TCP(s))
	to := p.other(from)
	if v.Dst != to.local || to.remote != "" && v.Src != to.remote {
		p.r.t.Fatalf("%s got a segment %s > %s, and knows its peer as %s", to.local, v.Src, v.Dst, to.remote)
	}
	return v
}

// send forwards a segment that the other end receives.
func (p *pair) send(from *end, s packettest.Segment) {
	p.r.t.Helper()
	p.other(from).receive(p.forward(from, s))
}

// say sends n bytes that the other end receives and has yet to acknowledge.
func (p *pair) say(from *end, n int) {
	p.r.t.Helper()
	p.send(from, from.segment(packet.ACK|packet.PSH, strings.Repeat("x", n)))
	from.next += uint32(n)
}

func (p *pair) ack(from *end) {
	p.r.t.Helper()
	p.send(from, from.segment(packet.ACK, ""))
}

// talk sends n bytes each way, acknowledged.
func (p *pair) talk(n int) {
	p.r.t.Helper()
	p.say(p.a, n)
	p.say(p.b, n)
	p.ack(p.a)
}

// hangUp sends a FIN that the other end receives.
func (p *pair) hangUp(from *end) {
	p.r.t.Helper()
	p.send(from, from.segment(packet.FIN|packet.ACK, ""))
	from.next++
}

// deliver hands both ends what was written to them, and wants each packet to
// carry addresses as that end knows them.
func (p *pair) deliver() {
	p.r.t.Helper()
	for _, e := range []*end{p.a, p.b} {
		for _, v := range p.r.take(e.side) {
			if v.Src != e.remote || v.Dst != e.local {
				p.r.t.Errorf("%s, which talks to %s, got %s > %s", e.local, e.remote, v.Src, v.Dst)
			}
			e.receive(v)
		}
	}
}

// expire lets the idle timeout run out, not a moment less, and delivers.
func (p *pair) expire() {
	p.r.t.Helper()
	p.r.sleep(testIdle)
	p.r.silent()
	p.r.sleep(testIdle / 50)
	p.deliver()
}

// reset wants both ends to have been closed by that many RSTs each.
func (p *pair) reset(t *testing.T, resetsA, resetsB int) {
	t.Helper()
	for i, e := range []*end{p.a, p.b} {
		if want := []int{resetsA, resetsB}[i]; !e.closed || e.resets != want {
			t.Errorf("%s got %d RSTs, want %d; closed: %t", e.local, e.resets, want, e.closed)
		}
	}
	p.r.gone()
	p.r.sleep(time.Second)
	p.r.silent()
}
