package e2e

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/google/gopacket/layers"

	"tidegate/e2e/lab"
	"tidegate/packet/packettest"
)

// fromGateway returns the IPv4 packets that the gateway sent over a cable. The
// captures sit at the far ends, where what the gateway sends comes in.
func fromGateway(wire *lab.Capture) []lab.Packet {
	return slices.DeleteFunc(wire.Packets(), func(p lab.Packet) bool { return p.Outgoing || p.IPv4() == nil })
}

// source and destination of a packet; the port is 0 unless it is TCP or UDP.
func source(p lab.Packet) netip.AddrPort      { s, _ := endpoints(p); return s }
func destination(p lab.Packet) netip.AddrPort { _, d := endpoints(p); return d }

func endpoints(p lab.Packet) (src, dst netip.AddrPort) {
	ip := p.IPv4()
	if ip == nil {
		return src, dst
	}
	from, _ := netip.AddrFromSlice(ip.SrcIP.To4())
	to, _ := netip.AddrFromSlice(ip.DstIP.To4())
	switch {
	case p.TCP() != nil:
		return netip.AddrPortFrom(from, uint16(p.TCP().SrcPort)), netip.AddrPortFrom(to, uint16(p.TCP().DstPort))
	case p.UDP() != nil:
		return netip.AddrPortFrom(from, uint16(p.UDP().SrcPort)), netip.AddrPortFrom(to, uint16(p.UDP().DstPort))
	}
	return netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0)
}

// conversation returns the segments between two endpoints, both directions.
func conversation(wire *lab.Capture, a, b netip.AddrPort) []lab.Packet {
	return slices.DeleteFunc(wire.Packets(), func(p lab.Packet) bool {
		src, dst := endpoints(p)
		return p.TCP() == nil || (src != a || dst != b) && (src != b || dst != a)
	})
}

func isReset(p lab.Packet) bool { return p.TCP() != nil && p.TCP().RST }

// resets returns every RST that the gateway sent over a cable.
func resets(wire *lab.Capture) []lab.Packet {
	return slices.DeleteFunc(fromGateway(wire), func(p lab.Packet) bool { return !isReset(p) })
}

// wantValid checks lengths and checksums of a packet that no offload is allowed for.
func (r *rig) wantValid(p lab.Packet) {
	r.Helper()
	if p.PartialChecksum {
		r.Errorf("the checksum is left to the card: %v", p)
		return
	}
	ip := p.IPv4()
	packettest.Check(r, append(slices.Clone(ip.Contents), ip.Payload[:int(ip.Length)-len(ip.Contents)]...))
}

// ending is what a wire saw of a connection's end.
type ending struct {
	resets []lab.Packet
	idle   time.Duration // from the last packet to the first RST
	after  []lab.Packet  // what followed the RSTs
}

// end finds the end of the connection that an end knows as from local to remote.
func (r *rig) end(wire *lab.Capture, conn net.Conn) (e ending) {
	r.Helper()
	all := conversation(wire, addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr()))
	first := slices.IndexFunc(all, isReset)
	if first < 1 {
		r.Fatalf("no RST for %v among %d packets", conn.LocalAddr(), len(all))
	}
	e.idle = at(all[first]).Sub(at(all[first-1]))
	for _, p := range all[first:] {
		if !p.Outgoing && isReset(p) {
			e.resets = append(e.resets, p)
		} else {
			e.after = append(e.after, p)
		}
	}
	return e
}

func at(p lab.Packet) time.Time { return p.Metadata().Timestamp }

// wantOneReset checks that the last that a wire saw of a connection is one RST from
// the gateway, in time, with the number that this end's kernel expects.
func (r *rig) wantOneReset(wire *lab.Capture, conn net.Conn, next uint32, timeout time.Duration) {
	r.Helper()
	e := r.end(wire, conn)
	if len(e.resets) != 1 || len(e.after) > 0 {
		r.Fatalf("%v got %d RSTs, and %d other packets followed: %v", conn.LocalAddr(), len(e.resets), len(e.after), e.after)
	}
	rst := e.resets[0].TCP()
	if rst.Seq != next {
		r.Errorf("RST to %v has number %d, its kernel expects %d (%+d)", conn.LocalAddr(), rst.Seq, next, int32(rst.Seq-next))
	}
	if flags := segmentFlags(rst); flags != "RA" {
		r.Errorf("RST to %v has flags %s", conn.LocalAddr(), flags)
	}
	r.wantValid(e.resets[0])
	if late := e.idle - timeout; timeout > 0 && (late < -clockTick || late > grace(timeout)) {
		r.Errorf("RST to %v came after %v of silence, the timeout is %v", conn.LocalAddr(), e.idle, timeout)
	}
}

// clockTick is the gateway's resolution of time.
const clockTick = time.Millisecond

// grace is how late an expiry may be.
func grace(timeout time.Duration) time.Duration { return max(time.Second, timeout/50) }

func segmentFlags(t *layers.TCP) (s string) {
	for _, f := range []struct {
		set  bool
		name string
	}{{t.SYN, "S"}, {t.FIN, "F"}, {t.RST, "R"}, {t.PSH, "P"}, {t.ACK, "A"}, {t.URG, "U"}} {
		if f.set {
			s += f.name
		}
	}
	return s
}

func addrPort(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }
