package e2e

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"tidegate/e2e/lab"
)

// An end that missed its RST, and speaks again, is told then.
func TestLostResetIsRepeated(t *testing.T) {
	onEach(t, settings{idle: idle}, func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		deafInside, deafOutside := r.connect(h1, s1), r.connect(h1, s1)
		r.loseReset(h1, deafInside.inside)
		r.loseReset(s1, deafOutside.outside)
		r.wantTold(deafInside.outside, idle)
		r.wantTold(deafOutside.inside, idle)
		r.wantOpenEnd(deafInside.inside)
		r.wantOpenEnd(deafOutside.outside)
		r.dropNothing(h1)
		r.dropNothing(s1)
		for _, conn := range []net.Conn{deafInside.inside, deafOutside.outside} {
			_, err := io.WriteString(conn, line)
			r.check(err)
			r.wantTold(conn, 0)
		}
		if n := r.status().Totals.Resets["late"]; n != 2 {
			r.Errorf("%d resets are counted as late, want 2", n)
		}
	})
}

// An end that missed its RST and asks back, as RFC 5961 has it, is told too: what
// it asks back about is a RST that somebody sends it past the gateway.
func TestChallengeIsAnswered(t *testing.T) {
	onEach(t, settings{idle: idle}, func(r *rig) {
		s1 := r.Servers[0]
		p := r.connect(r.Hosts[0], s1)
		n := r.numbersOf(p)
		r.loseReset(s1, p.outside)
		r.wantTold(p.inside, idle)
		r.wantOpenEnd(p.outside)
		r.dropNothing(s1)
		before := r.challenges(s1)
		from, to := addrPort(p.outside.RemoteAddr()), addrPort(p.outside.LocalAddr())
		inexact := layers.TCP{Seq: n.outside.RcvNxt + 100, RST: true}
		r.check(r.Router.Inject("srv1", must(r.Router.TCPFrame("srv1", from, to, inexact, nil))(r)))
		r.wantTold(p.outside, 0)
		if n := r.challenges(s1) - before; n != 1 {
			r.Errorf("s1 asked back %d times, want once", n)
		}
		if n := r.status().Totals.Resets["challenge"]; n != 1 {
			r.Errorf("%d resets are counted as challenge, want 1", n)
		}
	})
}

// An end whose last acknowledgment was lost gets a RST for each of the two
// numbers that it may expect.
func TestResetAfterLostAcknowledgment(t *testing.T) {
	onEach(t, settings{idle: idle}, func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		p := r.connect(h1, s1)
		before := r.numbersOf(p)
		r.dropOutgoing(h1, "ip protocol tcp")
		r.check(say(p.outside, p.inside))
		after := must(lab.SequencesOf(p.inside))(r)
		const retransmissions = 3 * time.Second // after 0.2, 0.4, 0.8 and 1.6 s; the next is later than idle
		for _, conn := range p.ends() {
			r.wantTold(conn, retransmissions+idle)
		}
		time.Sleep(settle)
		e := r.end(r.inside, p.inside)
		if len(e.resets) != 2 || e.resets[0].TCP().Seq != before.inside.RcvNxt || e.resets[1].TCP().Seq != after.RcvNxt {
			r.Errorf("RSTs %v, want numbers %d and %d", e.resets, before.inside.RcvNxt, after.RcvNxt)
		}
		r.wantOneReset(r.outside, p.outside, before.outside.RcvNxt, 0)
	})
}

// A RST that is in the window but not exact, and one that is outside, end nothing.
func TestBlindResetKillsNothing(t *testing.T) {
	onEach(t, settings{idle: time.Minute}, func(r *rig) {
		p := r.connect(r.Hosts[0], r.Servers[0])
		n := r.numbersOf(p)
		asked := r.challenges(r.Hosts[0])
		for _, off := range []uint32{100, 1 << 30} {
			r.fromOutside(r.Servers[1], p, layers.TCP{Seq: n.inside.RcvNxt + off, RST: true}, "")
		}
		r.eventually(time.Second, "h1 asks back", func() bool { return r.challenges(r.Hosts[0]) > asked })
		r.exchange(p)
		r.wantOpen(p)
		flows := r.flows("state=ESTABLISHED")
		if len(flows) != 1 || flows[0].ExpiresInSeconds < 50 {
			r.Errorf("the flow has less than its timeout left: %+v", flows)
		}
	})
}

// loseReset keeps RSTs from one connection of a host.
func (r *rig) loseReset(h *lab.Host, conn net.Conn) {
	r.Helper()
	local, remote := addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr())
	r.dropIncoming(h, fmt.Sprintf("tcp dport %d tcp sport %d tcp flags & rst == rst", local.Port(), remote.Port()))
}
