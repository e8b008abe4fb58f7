package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/api"
	"tidegate/e2e/lab"
)

// few is how many ports a member has in these tests; the ninth connection to one
// destination finds none.
const few = 8

func TestExhaustedIsRefusedByReset(t *testing.T) {
	onEach(t, settings{ports: few, timers: "tcpFinHold: 1s"}, func(r *rig) {
		r.exhaust(unix.ECONNREFUSED)
		if n := r.status().Totals.Resets["exhausted"]; n < 1 {
			r.Errorf("%d resets are counted as exhausted", n)
		}
	})
}

func TestExhaustedIsRefusedByICMP(t *testing.T) {
	onEach(t, settings{ports: few, timers: "tcpFinHold: 1s", silent: true}, func(r *rig) {
		r.exhaust(unix.EHOSTUNREACH) // what Linux makes of administratively prohibited
	})
}

// exhaust uses up the ports of h1 for one destination, and finds them again.
func (r *rig) exhaust(refusal unix.Errno) {
	r.Helper()
	h1, s1, s2 := r.Hosts[0], r.Servers[0], r.Servers[1]
	echo := must(lab.ServeTCPEcho(s1, ":7"))(r)
	other := must(lab.ServeTCPEcho(s2, ":7"))(r)
	var open []net.Conn
	for range few {
		open = append(open, r.dialEcho(h1, echo.Addr))
	}
	r.wantRefused(h1, echo.Addr, refusal)
	r.dialEcho(h1, other.Addr).Close()
	r.dialEcho(r.Hosts[1], echo.Addr).Close()
	r.wantShownExhausted()
	for _, conn := range open {
		conn.Close()
	}
	r.eventually(4*time.Second, "h1 connects again when ports are free", func() bool {
		conn, err := h1.Dial(r.within(time.Second), "tcp4", echo.Addr.String())
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

func (r *rig) dialEcho(from *lab.Host, to netip.AddrPort) net.Conn {
	r.Helper()
	conn := must(from.Dial(r.within(5*time.Second), "tcp4", to.String()))(r)
	r.Cleanup(func() { conn.Close() })
	r.check(say(conn, conn))
	return conn
}

func (r *rig) wantRefused(from *lab.Host, to netip.AddrPort, refusal unix.Errno) {
	r.Helper()
	began := time.Now()
	conn, err := from.Dial(r.within(5*time.Second), "tcp4", to.String())
	if err == nil {
		conn.Close()
	}
	if took := time.Since(began); !errors.Is(err, refusal) || took > soon {
		r.Errorf("after %v: %v, want %v at once", took, err, refusal)
	}
}

// wantShownExhausted looks where an operator would.
func (r *rig) wantShownExhausted() {
	r.Helper()
	var shown bool
	for _, row := range must(r.client.Ports(r.Context(), api.ByBackend))(r).Rows {
		if row.Backend == "10.0.0.10" && row.Protocol == "tcp" {
			shown = row.Allocated == few && row.Used == few && row.Free == 0 && row.Failed >= 1
		}
	}
	if !shown {
		r.Error("/v1/ports does not show that h1 has no port left")
	}
	failed := `tidegate_snat_connections_total{backend="10.0.0.10",frontend="public",protocol="tcp",state="failed"}`
	if n := r.metrics()[failed]; n < 1 {
		r.Errorf("%s is %v", failed, n)
	}
}

// A datagram gets its answer as ICMP, whatever the rule says of TCP.
func TestExhaustedUDP(t *testing.T) {
	onEach(t, settings{ports: few}, func(r *rig) {
		h1 := r.Hosts[0]
		echo := must(lab.ServeUDPEcho(r.Servers[0], ":7"))(r)
		for i := range few + 1 {
			conn := must(h1.Dial(r.Context(), "udp4", echo.Addr.String()))(r)
			defer conn.Close()
			began := time.Now()
			err := say(conn, conn)
			switch took := time.Since(began); {
			case i < few && err != nil:
				r.Error(fmt.Errorf("socket %d: %w", i, err))
			case i == few && (!errors.Is(err, unix.EHOSTUNREACH) || took > soon):
				r.Errorf("after %v: %v, want EHOSTUNREACH at once", took, err)
			}
		}
	})
}
