package nexthop

import (
	"encoding/binary"
	"net"
	"sync/atomic"

	"tidegate/packet"
)

// Side is one of the gateway's two interfaces.
type Side uint8

// The two sides.
const (
	Inside Side = iota
	Outside
	sides
)

// String returns "inside" or "outside".
func (s Side) String() string {
	if s == Inside {
		return "inside"
	}
	return "outside"
}

// Status says how far a Lookup came. The zero Status is never returned.
type Status uint8

// What a Lookup may find.
const (
	// Resolved: the Hop is there, the packet can leave.
	Resolved Status = iota + 1
	// Unresolved: the neighbour has to be asked for first, see Table.Solicit.
	Unresolved
	// NoRoute: the kernel has no route to the destination.
	NoRoute
	// Unreachable: the neighbour does not answer, the route says unreachable, or
	// an interface of the gateway is down and has taken its routes with it.
	Unreachable
	// Elsewhere: the destination is the host itself or a broadcast address, lies
	// behind another interface, or is a blackhole or prohibited.
	Elsewhere
)

var statusNames = [...]string{"unknown", "resolved", "unresolved", "no-route", "unreachable", "elsewhere"}

// String returns a word for logs and explanations.
func (s Status) String() string { return statusNames[min(int(s), len(statusNames)-1)] }

// EtherLen is the length of Hop.Ether in bytes.
const EtherLen = 14

// Hop is the way out for a packet. It is shared and must not be copied.
// [I] immutable once published, [A] atomic.
type Hop struct {
	Ether     [EtherLen]byte // [I] destination MAC, source MAC, EtherType IPv4
	Side      Side           // [I] the interface to send on
	MTU       int            // [I] bytes of IP packet; the lower of interface and route
	Neighbour packet.Addr    // [I] who gets the frame: a gateway, or the destination itself
	failed    bool           // [I] the neighbour doesn't answer; never handed out
	used      atomic.Bool    // [A] somebody looked it up since the neighbour was last asked for
}

// mark reads before it writes, so that workers share the cache line.
func (h *Hop) mark() {
	if !h.used.Load() {
		h.used.Store(true)
	}
}

func newHop(l leg, from net.HardwareAddr, n neighbourKey, to neighbour) *Hop {
	h := &Hop{Side: l.side, MTU: l.mtu, Neighbour: n.addr, failed: to.state == failed}
	copy(h.Ether[:6], to.mac[:])
	copy(h.Ether[6:12], from)
	binary.BigEndian.PutUint16(h.Ether[12:], etherTypeIPv4)
	return h
}

func (h *Hop) same(o *Hop) bool {
	return h.Ether == o.Ether && h.Side == o.Side && h.MTU == o.MTU && h.Neighbour == o.Neighbour && h.failed == o.failed
}
