package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tidegate/e2e/lab"
)

// Two ends that call each other at the same time are connected through the gateway:
// by the mapping of the one inside (RFC 5382 REQ-2a).
func TestSimultaneousOpen(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		at := netip.AddrPortFrom(s1.Addr, 7000)
		r.dropIncoming(s1, "tcp flags & (syn | ack) == syn")
		p := pair{}
		var calls errgroup.Group
		calls.Go(func() error {
			conn, err := h1.Dial(r.within(5*time.Second), "tcp4", at.String())
			p.inside, _ = conn.(*net.TCPConn)
			return err
		})
		syn, err := r.outside.Wait(r.within(soon), func(p lab.Packet) bool { return p.TCP() != nil && destination(p) == at })
		r.check(err)
		calls.Go(func() error {
			conn, err := s1.DialFrom(r.within(5*time.Second), "tcp4", at, source(syn).String())
			p.outside, _ = conn.(*net.TCPConn)
			return err
		})
		r.check(calls.Wait())
		r.adopt(p)
		_, err = r.inside.Wait(r.within(soon), func(p lab.Packet) bool {
			return source(p) == at && segmentFlags(p.TCP()) == "S"
		})
		if err != nil {
			r.Errorf("h1 was not called, so that only it opened: %v", err)
		}
		if f := r.flow(p); f.State != "ESTABLISHED" || f.Direction != "outbound" {
			r.Errorf("listed as %+v", f)
		}
	})
}

// An end that has forgotten its connection, as after a crash, and connects again from
// the same port is asked back (RFC 5961), tells so, and has its new connection when it
// tries again: on both sides.
func TestForgottenConnectionIsReplaced(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		l, server := r.listen(":22", r.Hosts[0]), r.listen(":7000", r.Servers[0])
		for _, c := range []struct {
			listeners
			from *lab.Host
			to   string
		}{
			{server, r.Hosts[0], r.Servers[0].Addr.String() + ":7000"},
			{l, r.Servers[1], frontend + ":" + inboundPort},
		} {
			old, _ := c.connect(c.from, c.to)
			forgetful, deaf := old.outside, old.inside // as connect has them: who called, and who was called
			asked := r.challenges(r.Hosts[0]) + r.challenges(r.Servers[0])
			r.forget(c.from, forgetful)
			again := must(c.from.DialFrom(r.within(5*time.Second), "tcp4", addrPort(forgetful.LocalAddr()), c.to))(r)
			p := r.adopt(pair{inside: (<-c.accepted).conn.(*net.TCPConn), outside: again.(*net.TCPConn)})
			if _, err := lab.WaitReset(deaf, soon); err != nil {
				r.Errorf("the old connection to %s: %v", c.to, err)
			}
			if n := r.challenges(r.Hosts[0]) + r.challenges(r.Servers[0]) - asked; n != 1 {
				r.Errorf("%d challenges on the way to %s, want 1", n, c.to)
			}
			r.wantOpen(p)
		}
		if n := len(r.flows("state=ESTABLISHED")); n != 2 {
			r.Errorf("%d flows, want those of the new connections", n)
		}
	})
}

// forget ends a host's connection, and nobody is told.
func (r *rig) forget(h *lab.Host, conn *net.TCPConn) {
	r.Helper()
	r.dropOutgoing(h, fmt.Sprintf("tcp sport %d", addrPort(conn.LocalAddr()).Port()))
	r.check(conn.SetLinger(0))
	r.check(conn.Close())
	r.dropNothing(h)
}
