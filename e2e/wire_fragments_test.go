package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"tidegate/e2e/lab"
	"tidegate/packet/packettest"
)

// pingPong sends a datagram of n bytes and wants it back.
func pingPong(conn net.Conn, n int) error {
	want, err := io.ReadAll(lab.Blob(int64(n)))
	if err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(soon)); err != nil {
		return err
	}
	if _, err := conn.Write(want); err != nil {
		return err
	}
	got := make([]byte, 1<<16)
	n, err = conn.Read(got)
	if err != nil {
		return fmt.Errorf("%d bytes to %v: %w", len(want), conn.RemoteAddr(), err)
	}
	if !bytes.Equal(got[:n], want) {
		return fmt.Errorf("%d bytes to %v: other bytes came back, %d", len(want), conn.RemoteAddr(), n)
	}
	return nil
}

// large is more than five packets.
const large = 8000

// Datagrams that come in pieces arrive whole, and so do the answers, by rules of
// every kind and between two hosts inside.
func TestLargeDatagrams(t *testing.T) {
	onEach(t, settings{rules: everyWay}, func(r *rig) {
		h1, h2, h3, s1 := r.Hosts[0], r.Hosts[1], r.Hosts[2], r.Servers[0]
		for _, h := range []*lab.Host{h1, h2, h3, s1} {
			must(lab.ServeUDPEcho(h, ":5353"))(r)
		}
		for _, c := range []struct {
			from *lab.Host
			to   string
		}{
			{h1, s1.Addr.String() + ":5353"},
			{h3, s1.Addr.String() + ":5353"},
			{s1, frontend + ":" + inboundPort},
			{s1, second + ":53"},
			{s1, third + ":5353"},
			{h1, third + ":5353"},
			{h2, frontend + ":" + inboundPort},
			{h3, private + ":5353"},
		} {
			conn := must(c.from.Dial(r.Context(), "udp4", c.to))(r)
			defer conn.Close()
			for range 3 {
				r.check(pingPong(conn, large))
			}
		}
		r.wantPingOf(h1, s1.Addr.String(), 4000)
		r.wantPingOf(h3, s1.Addr.String(), 4000)
		r.wantPingOf(s1, third, 4000)
		r.wantNothingOfInside()
		r.wantFragmentsRight(r.inside, r.outside)
	})
}

func (r *rig) wantPingOf(from *lab.Host, to string, size int) {
	r.Helper()
	if out := r.shell(from, fmt.Sprintf("ping -n -q -c 3 -i 0.1 -W 2 -s %d %s", size, to)); !strings.Contains(out, " 3 received") {
		r.Errorf("ping from %s to %s:\n%s", from.Name, to, out)
	}
}

// wantFragmentsRight checks every fragment that the gateway sent over cables, and that
// there were some.
func (r *rig) wantFragmentsRight(wires ...*lab.Capture) {
	r.Helper()
	for _, wire := range wires {
		all := fragmentsOf(wire)
		if len(all) == 0 {
			r.Error("no fragments")
		}
		for _, p := range all {
			r.wantValid(p)
		}
	}
}

// fragmentsOf returns those that the gateway sent over a cable.
func fragmentsOf(wire *lab.Capture) []lab.Packet {
	return slices.DeleteFunc(fromGateway(wire), func(p lab.Packet) bool {
		ip := p.IPv4()
		return ip.FragOffset == 0 && ip.Flags&layers.IPv4MoreFragments == 0
	})
}

// orders are those in which the seven fragments of a datagram come.
var orders = map[string][]int{
	"backwards":           {6, 5, 4, 3, 2, 1, 0},
	"first last":          {1, 2, 3, 4, 5, 6, 0},
	"each twice":          {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6},
	"twice and backwards": {6, 5, 6, 4, 3, 3, 2, 1, 2, 0, 0},
	"shuffled":            {3, 0, 6, 2, 5, 1, 4},
}

// Whatever the order, and with duplicates, in both directions: a datagram arrives
// once and whole.
func TestFragmentsInAnyOrder(t *testing.T) {
	onEach(t, settings{rules: everyWay}, func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		out, in := r.receiver(s1), r.receiver(h1)
		defer out.Close()
		defer in.Close()
		from := map[*lab.Host]string{h1: "10.0.0.10:40000", s1: "198.51.100.7:40000"}
		id := uint16(0)
		for name, order := range orders {
			id++
			payload := strings.Repeat(name+" ", 2400)[:2400]
			r.sendPieces(h1, order, packettest.Datagram{Src: from[h1], Dst: "198.51.100.7:5353", Payload: payload, IP: packettest.IP{ID: id}})
			r.wantReceived(out, name, payload, frontend)
			r.sendPieces(s1, order, packettest.Datagram{Src: from[s1], Dst: frontend + ":2222", Payload: payload, IP: packettest.IP{ID: id}})
			r.wantReceived(in, name, payload, "198.51.100.7")
		}
		for _, conn := range []net.PacketConn{out, in} {
			r.check(conn.SetReadDeadline(time.Now().Add(settle)))
			if n, _, err := conn.ReadFrom(make([]byte, 4000)); err == nil {
				r.Errorf("%d bytes arrived a second time", n)
			}
		}
	})
}

func (r *rig) receiver(h *lab.Host) net.PacketConn {
	r.Helper()
	return must(h.ListenPacket("udp4", ":5353"))(r)
}

// sendPieces sends a datagram of 2,400 bytes in seven pieces.
func (r *rig) sendPieces(by *lab.Host, order []int, d packettest.Datagram) {
	r.Helper()
	pieces := packettest.Fragments(packettest.UDP(d), 380)
	if len(pieces) != 7 {
		r.Fatalf("%d pieces", len(pieces))
	}
	for _, i := range order {
		to := netip.MustParseAddrPort(d.Dst).Addr()
		r.check(by.Inject("eth0", must(by.Frame("eth0", to, gopacket.Payload(pieces[i])))(r)))
	}
}

func (r *rig) wantReceived(conn net.PacketConn, name, want, from string) {
	r.Helper()
	r.check(conn.SetReadDeadline(time.Now().Add(soon)))
	b := make([]byte, 2*large)
	n, sender, err := conn.ReadFrom(b)
	switch {
	case err != nil:
		r.Errorf("%s: %v", name, err)
	case string(b[:n]) != want || addrPort(sender).Addr().String() != from:
		r.Errorf("%s: from %v came %.20q", name, sender, b[:n])
	}
}

// What may be fragmented is, where the next link takes less.
func TestGatewayFragments(t *testing.T) {
	onEachHost(t, func(r *rig) {
		const mtu = 1400
		r.setMTU(mtu, r.Gateway, "out0")
		r.setMTU(mtu, r.Router, "wan0")
		r.watch()
		r.start(settings{rules: everyWay})
		server := r.receiver(r.Servers[0])
		defer server.Close()
		conn := must(r.Hosts[0].Dial(r.Context(), "udp4", "198.51.100.7:5353"))(r)
		defer conn.Close()
		r.setOption(conn, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		for _, n := range []int{mtu - 28, mtu - 27, 1500 - 28, large} {
			payload := must(io.ReadAll(lab.Blob(int64(n))))(r)
			must(conn.Write(payload))(r)
			r.wantReceived(server, fmt.Sprint(n, " bytes"), string(payload), frontend)
		}
		r.wantNothingOfInside()
		r.wantFragmentsRight(r.outside)
		for _, p := range fragmentsOf(r.outside) {
			if p.IPv4().Length > mtu {
				r.Errorf("%d bytes went over a link with MTU %d", p.IPv4().Length, mtu)
			}
		}
		if errs := append(r.icmpErrors(r.inside), r.icmpErrors(r.outside)...); len(errs) > 0 {
			r.Errorf("somebody complains: %v", errs)
		}
	})
}
