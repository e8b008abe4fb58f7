package e2e

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

// idle is short for a timeout and long beside a kernel's delayed acknowledgments.
const idle = 2 * time.Second

func TestOutboundIdleReset(t *testing.T) {
	onEach(t, settings{idle: idle}, func(r *rig) {
		p := r.connect(r.Hosts[0], r.Servers[0])
		r.wantReset(p, idle)
		r.wantNoFlow(time.Second, "proto=tcp")
		if n := r.status().Totals.Resets["idle"]; n != 2 {
			r.Errorf("%d resets are counted as idle", n)
		}
	})
}

func TestInboundIdleReset(t *testing.T) {
	onEach(t, settings{idle: idle}, func(r *rig) {
		p := r.connectInbound()
		r.wantReset(p, idle)
		r.wantNoFlow(time.Second, "proto=tcp")
	})
}

// Any packet keeps a flow: a keepalive, and data from one end alone.
func TestTrafficKeepsFlow(t *testing.T) {
	onEach(t, settings{idle: idle}, func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		probed, fed, silent := r.connect(h1, s1), r.connect(h1, s1), r.connect(h1, s1)
		r.check(probed.inside.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}))
		for range 7 {
			time.Sleep(time.Second)
			r.check(say(fed.outside, fed.inside))
		}
		r.exchange(probed)
		r.exchange(fed)
		r.wantReset(silent, idle)
		if n := len(r.flows("state=ESTABLISHED")); n != 2 {
			r.Errorf("%d flows are left, want 2", n)
		}
	})
}

func TestSilentWithoutReset(t *testing.T) {
	onEach(t, settings{idle: time.Second, silent: true}, func(r *rig) {
		outbound, inbound := r.connect(r.Hosts[0], r.Servers[0]), r.connectInbound()
		r.wantNoFlow(time.Second+grace(time.Second)+time.Second, "proto=tcp")
		r.wantNoReset(settle)
		r.wantOpen(outbound)
		r.wantOpen(inbound)
		r.check(outbound.inside.SetReadDeadline(time.Now().Add(settle)))
		_, err := outbound.outside.Write([]byte(line))
		r.check(err)
		if n, err := outbound.inside.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			r.Errorf("a packet passed that belongs to no flow: %d bytes, %v", n, err)
		}
	})
}

// wantNoReset watches both cables for a while longer.
func (r *rig) wantNoReset(more time.Duration) {
	r.Helper()
	time.Sleep(more)
	for _, wire := range []*lab.Capture{r.inside, r.outside} {
		if found := resets(wire); len(found) > 0 {
			r.Errorf("%d RSTs, the first is %v", len(found), found[0])
		}
	}
}

func TestSynSentIsSilent(t *testing.T) {
	onEach(t, settings{timers: "tcpHalfOpen: 1s"}, func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		r.dropIncoming(s1, "tcp dport 9")
		if conn, err := h1.Dial(r.within(300*time.Millisecond), "tcp4", s1.Addr.String()+":9"); err == nil {
			conn.Close()
			r.Fatal("connected to a server that drops SYNs")
		}
		if n := len(r.flows("state=SYN_SENT")); n != 1 {
			r.Errorf("%d flows in SYN_SENT, want 1", n)
		}
		r.wantNoFlow(3*time.Second, "proto=tcp")
		r.wantNoReset(settle)
	})
}

func TestHalfClosedIsSilent(t *testing.T) {
	onEach(t, settings{idle: time.Second}, func(r *rig) {
		p := r.connect(r.Hosts[0], r.Servers[0])
		r.check(p.inside.CloseWrite())
		if _, err := p.outside.Read(make([]byte, 1)); err != io.EOF {
			r.Errorf("the end outside read %v, want EOF", err)
		}
		r.check(say(p.outside, p.inside))
		if n := len(r.flows("state=FIN_WAIT")); n != 1 {
			r.Errorf("%d flows in FIN_WAIT, want 1", n)
		}
		r.wantNoFlow(3*time.Second, "proto=tcp")
		r.wantNoReset(settle)
	})
}

func TestUDPIsSilent(t *testing.T) {
	onEach(t, settings{idle: time.Second}, func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		echo := must(lab.ServeUDPEcho(s1, ":7"))(r)
		conn := must(h1.Dial(r.Context(), "udp4", echo.Addr.String()))(r)
		defer conn.Close()
		r.check(say(conn, conn))
		if n := len(r.flows("proto=udp", "state=ACTIVE")); n != 1 {
			r.Errorf("%d UDP flows, want 1", n)
		}
		r.wantNoFlow(3*time.Second, "proto=udp")
		time.Sleep(settle)
		for _, wire := range []*lab.Capture{r.inside, r.outside} {
			if sent := fromGateway(wire); len(sent) != 1 || sent[0].UDP() == nil {
				r.Errorf("the gateway sent %d packets, want the datagram and nothing else: %v", len(sent), sent)
			}
		}
	})
}

// dropIncoming makes a host's own kernel drop packets before its sockets see them.
func (r *rig) dropIncoming(h *lab.Host, match string) {
	r.Helper()
	r.shell(h, "nft 'table ip lost { chain in { type filter hook input priority 0; "+match+" drop; }; }'")
}

// dropOutgoing makes it drop what its sockets send.
func (r *rig) dropOutgoing(h *lab.Host, match string) {
	r.Helper()
	r.shell(h, "nft 'table ip lost { chain out { type filter hook output priority 0; "+match+" drop; }; }'")
}

// dropNothing ends both.
func (r *rig) dropNothing(h *lab.Host) {
	r.Helper()
	r.shell(h, "nft delete table ip lost")
}
