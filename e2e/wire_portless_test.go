package e2e

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/e2e/lab"
	"tidegate/packet/packettest"
)

// GRE and SCTP go between an instance-level public IP and its backend in both
// directions, whole and in pieces, and to nobody else.
func TestPortlessProtocols(t *testing.T) {
	onEach(t, settings{rules: everyWay}, func(r *rig) {
		const headers = 20
		sctp := packettest.SCTP("192.0.2.1:5000", "192.0.2.2:5000", "an association")[headers:] // no sum covers addresses
		large := must(io.ReadAll(lab.Blob(4000)))(r)
		for network, payloads := range map[string][][]byte{"ip4:47": {[]byte(line), large}, "ip4:132": {sctp, large}} {
			own, world := r.portless(network, r.Hosts[2]), r.portless(network, r.Servers[0])
			for _, b := range payloads {
				r.pass(own, world, r.Servers[0].Addr.String(), third, b)
				r.pass(world, own, third, r.Servers[0].Addr.String(), b)
			}
			without := r.portless(network, r.Hosts[0])
			must(without.WriteTo([]byte(line), &net.IPAddr{IP: net.ParseIP("198.51.100.7")}))(r)
			r.wantSilence(world)
		}
		if n := r.status().Totals.Drops["protocol"]; n != 2 {
			r.Errorf("%d packets are counted as protocol, want those of h1", n)
		}
		r.wantNothingOfInside()
	})
}

// portless opens a raw socket.
func (r *rig) portless(network string, h *lab.Host) net.PacketConn {
	r.Helper()
	conn := must(h.ListenPacket(network, "0.0.0.0"))(r)
	r.Cleanup(func() { conn.Close() })
	return conn
}

// pass sends a packet, and checks who got it from whom.
func (r *rig) pass(from, to net.PacketConn, dst, seen string, b []byte) {
	r.Helper()
	must(from.WriteTo(b, &net.IPAddr{IP: net.ParseIP(dst)}))(r)
	r.check(to.SetReadDeadline(time.Now().Add(soon)))
	got := make([]byte, 1<<16)
	n, by, err := to.ReadFrom(got)
	r.check(err)
	if by.String() != seen || !bytes.Equal(got[:n], b) {
		r.Errorf("from %v come %d bytes, want %d from %s", by, n, len(b), seen)
	}
}

func (r *rig) wantSilence(conn net.PacketConn) {
	r.Helper()
	r.check(conn.SetReadDeadline(time.Now().Add(settle)))
	if n, by, err := conn.ReadFrom(make([]byte, 1<<16)); err == nil {
		r.Errorf("from %v come %d bytes", by, n)
	}
}

// UDP-Lite is between two kernels, which check its sums, those that cover a part too.
func TestUDPLite(t *testing.T) {
	onEach(t, settings{rules: everyWay}, func(r *rig) {
		for _, coverage := range []int{0, 8, 12} { // bytes; 0 for all
			own, world := r.lite(r.Hosts[2], coverage), r.lite(r.Servers[0], coverage)
			r.passLite(own, world, litePort+coverage, r.Servers[0].Addr.String(), third)
			r.passLite(world, own, litePort+coverage, third, r.Servers[0].Addr.String())
			r.check(own.Close())
			r.check(world.Close())
		}
		r.wantNothingOfInside()
	})
}

// litePort is the port for coverage 0, and those for others are above it: a program
// that another test is just starting may hold the last socket a moment longer.
const litePort = 7

// Of linux/udp.h.
const solUDPLite, sendCoverage = 136, 10

// lite opens a UDP-Lite socket, whose sums cover that many bytes.
func (r *rig) lite(h *lab.Host, coverage int) net.PacketConn {
	r.Helper()
	var conn net.PacketConn
	r.check(h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_UDPLITE)
		if err != nil {
			return err
		}
		file := os.NewFile(uintptr(fd), "udplite")
		defer file.Close()
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: litePort + coverage}); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, solUDPLite, sendCoverage, coverage); err != nil {
			return err
		}
		conn, err = net.FilePacketConn(file)
		return err
	}))
	return conn
}

func (r *rig) passLite(from, to net.PacketConn, port int, dst, seen string) {
	r.Helper()
	must(from.WriteTo([]byte(line), &net.UDPAddr{IP: net.ParseIP(dst), Port: port}))(r)
	r.wantReceived(to, "UDP-Lite", line, seen)
}
