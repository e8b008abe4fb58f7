package nexthop

import (
	"maps"
	"net"
	"slices"

	"tidegate/packet"
)

// Link is one of the gateway's interfaces as the kernel last described it.
type Link struct {
	Name    string
	Index   int              // 0 once the interface has been removed
	MAC     net.HardwareAddr // not to be modified
	MTU     int              // bytes of IP packet
	Up      bool             // administratively up, with carrier
	Address packet.Addr      // the first IPv4 address of the interface, 0 if it has none
}

func (l Link) same(o Link) bool {
	return l.Name == o.Name && l.Index == o.Index && slices.Equal(l.MAC, o.MAC) &&
		l.MTU == o.MTU && l.Up == o.Up && l.Address == o.Address
}

// Snapshot is where every destination leads at one moment. It never changes.
type Snapshot struct {
	links  [sides]Link
	routes routes
	hops   map[hopKey]*Hop // known neighbours, once per leg that leads to them
}

// hopKey is a leg's number and a neighbour's address: one word, so that the map
// hashes it without a call through memory.
type hopKey uint64

func keyOf(leg uint16, a packet.Addr) hopKey { return hopKey(leg)<<32 | hopKey(a) }

// Lookup says where a packet to dst leaves: the Hop if the Status is Resolved,
// nil otherwise. It takes no lock and does not allocate.
func (s *Snapshot) Lookup(dst packet.Addr) (*Hop, Status) {
	to := s.routes.find(dst)
	if to.status != Resolved {
		return nil, s.final(to)
	}
	h := s.hops[keyOf(to.leg, to.neighbour(dst))]
	if h == nil {
		return nil, Unresolved
	}
	h.mark()
	if h.failed {
		return nil, Unreachable
	}
	return h, Resolved
}

// final is the status of a target without a neighbour.
func (s *Snapshot) final(to target) Status {
	switch {
	case to.status != 0:
		return to.status
	case s.links[Inside].Up && s.links[Outside].Up:
		return NoRoute
	}
	return Unreachable
}

// Carried reports whether the host itself answers to a: whether one of its
// interfaces has the address, or a route of type local covers it.
func (s *Snapshot) Carried(a packet.Addr) bool { return s.routes.find(a).local }

// Link returns the interface of that side.
func (s *Snapshot) Link(side Side) Link { return s.links[side] }

// Leads returns the side on which packets to dst leave, if they leave on one,
// whatever is known of the neighbour.
func (s *Snapshot) Leads(dst packet.Addr) (Side, bool) {
	n, ok := s.neighbourOf(dst)
	return n.side, ok
}

// neighbourOf returns the neighbour that a packet to dst would be handed to.
func (s *Snapshot) neighbourOf(dst packet.Addr) (neighbourKey, bool) {
	to := s.routes.find(dst)
	if to.status != Resolved {
		return neighbourKey{}, false
	}
	return neighbourKey{side: s.routes.legs[to.leg].side, addr: to.neighbour(dst)}, true
}

func (s *Snapshot) same(o *Snapshot) bool {
	return s.links[Inside].same(o.links[Inside]) && s.links[Outside].same(o.links[Outside]) &&
		s.routes.same(o.routes) && maps.Equal(s.hops, o.hops)
}
