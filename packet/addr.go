package packet

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// Addr is an IPv4 address in host byte order, so that neighbouring addresses
// are neighbouring numbers. The zero Addr is 0.0.0.0. Only this package and the
// layout of conntrack's flow entry know how wide it is.
type Addr uint32

// AddrFrom converts an IPv4 (or IPv4-mapped) netip.Addr; anything else is 0.0.0.0.
func AddrFrom(a netip.Addr) Addr {
	a = a.Unmap()
	if !a.Is4() {
		return 0
	}
	b := a.As4()
	return Addr(binary.BigEndian.Uint32(b[:]))
}

// Netip returns the address for the control path: printing, parsing, configuration.
func (a Addr) Netip() netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(a))
	return netip.AddrFrom4(b)
}

// String returns dotted decimal.
func (a Addr) String() string { return a.Netip().String() }

// Protocol is the IPv4 protocol number.
type Protocol uint8

// The protocols the gateway translates (IANA protocol numbers).
const (
	ICMP Protocol = 1
	TCP  Protocol = 6
	UDP  Protocol = 17
)

// String returns the lower-case name, or the number of a protocol without one here.
func (p Protocol) String() string {
	switch p {
	case ICMP:
		return "icmp"
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return "proto-" + strconv.Itoa(int(p))
}

// Tuple names one direction of a flow as it stands on the wire.
//
// ICMP echo has one identifier instead of two ports: a request carries it as
// SrcPort (DstPort 0), a reply as DstPort (SrcPort 0), so that Reverse of the
// one is the other (RFC 5508 §3.1).
type Tuple struct {
	Src, Dst         Addr
	SrcPort, DstPort uint16 // host byte order
	Proto            Protocol
}

// Reverse returns the tuple of the answer.
func (t Tuple) Reverse() Tuple {
	return Tuple{Src: t.Dst, Dst: t.Src, SrcPort: t.DstPort, DstPort: t.SrcPort, Proto: t.Proto}
}

// Source and Destination return the endpoints for printing.
func (t Tuple) Source() netip.AddrPort { return netip.AddrPortFrom(t.Src.Netip(), t.SrcPort) }

// Destination returns where the packet goes.
func (t Tuple) Destination() netip.AddrPort { return netip.AddrPortFrom(t.Dst.Netip(), t.DstPort) }

// String returns "tcp 10.0.0.10:40000 > 198.51.100.7:443".
func (t Tuple) String() string {
	return t.Proto.String() + " " + t.Source().String() + " > " + t.Destination().String()
}
