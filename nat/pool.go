package nat

import (
	"slices"
	"time"

	"tidegate/packet"
)

// AdminState is what an operator says of a backend, whatever its probe finds.
type AdminState uint8

// Azure's three administrative states.
const (
	AdminNone AdminState = iota // its probe decides
	AdminUp                     // it gets new flows
	AdminDown                   // it gets none
)

var adminNames = [...]string{"None", "Up", "Down"}

// String returns Azure's word.
func (s AdminState) String() string { return adminNames[s] }

// Backend is a member of a Pool.
type Backend struct {
	Addr  packet.Addr
	Admin AdminState
}

// Pool is the backends of load-balancing rules that share them and a probe, and
// the choice among those that take new flows.
type Pool struct {
	Name       string
	Probe      string // its name; empty: every backend counts as up
	Drain      time.Duration
	LastResort bool     // with all of them down, new flows go to all (AllProbedUp)
	Rules      []uint16 // their numbers
	Backends   []Backend

	choice *Maglev
	admin  map[packet.Addr]AdminState // of Backends; made when first asked for
}

// Eligible returns the backends that take new flows, given what a probe has found,
// in ascending order.
func (p *Pool) Eligible(up func(packet.Addr) bool) []packet.Addr {
	all := make([]packet.Addr, 0, len(p.Backends))
	probed := make([]packet.Addr, 0, len(p.Backends))
	for _, b := range p.Backends {
		switch {
		case b.Admin == AdminDown:
			continue
		case b.Admin == AdminUp || p.Probe == "" || up(b.Addr):
			probed = append(probed, b.Addr)
		}
		all = append(all, b.Addr)
	}
	if len(probed) == 0 && p.LastResort {
		probed = all
	}
	slices.Sort(probed)
	return slices.Compact(probed)
}

// Spread makes new flows go by m.
func (p *Pool) Spread(m *Maglev) { p.choice = m }

// Takes says whether new flows go to the backend now.
func (p *Pool) Takes(a packet.Addr) bool {
	if p.choice == nil {
		return false
	}
	_, takes := slices.BinarySearch(p.choice.backends, a)
	return takes
}

// Lists says whether an address is a backend of the pool, set down or not.
func (p *Pool) Lists(a packet.Addr) bool {
	_, ok := p.state(a)
	return ok
}

// Has says whether an address is a backend of the pool that is not set down.
func (p *Pool) Has(a packet.Addr) bool {
	s, ok := p.state(a)
	return ok && s != AdminDown
}

func (p *Pool) state(a packet.Addr) (AdminState, bool) {
	if p.admin == nil {
		p.admin = make(map[packet.Addr]AdminState, len(p.Backends))
		for _, b := range p.Backends {
			p.admin[b.Addr] = b.Admin
		}
	}
	s, ok := p.admin[a]
	return s, ok
}
