package nat

import (
	"cmp"
	"slices"

	"tidegate/packet"
)

// A hairpin flow begins and ends on the inside. Its backend has to see an address
// of the gateway, so that its answers come back: the frontend's, with a port of an
// internal frontend that no rule has, or of a public one above those for SNAT.
const (
	FirstHairpinPort = LastPort + 1
	LastHairpinPort  = 65535
)

// portRange is inclusive.
type portRange struct{ first, last uint16 }

func (r portRange) has(port uint16) bool { return port >= r.first && port <= r.last }

// hairpin returns the ports for the hairpin flows of a frontend.
func (f frontend) hairpin() portRange {
	if f.internal {
		return portRange{FirstPort, LastPort}
	}
	return portRange{FirstHairpinPort, LastHairpinPort}
}

// Hairpin returns the lease that gives hairpin flows to a frontend their ports,
// and its owner number.
func (p *Policy) Hairpin(a packet.Addr, proto packet.Protocol) (*Lease, uint32) {
	key := frontendPort{Endpoint{Addr: a}, proto}
	owner := p.hairpins[key]
	if owner == 0 {
		p.leases = append(p.leases, p.newLease(Lease{Frontend: a, Protocol: proto}, p.hairpinBlocks(a)))
		owner = uint32(len(p.leases))
		p.hairpins[key] = owner
	}
	return p.leases[owner-1], owner
}

// hairpinBlocks returns the ports that no rule's falls beside.
func (p *Policy) hairpinBlocks(a packet.Addr) (runs []PortBlock) {
	r := p.frontends[a].hairpin()
	for number := blockOf(r.first); number <= blockOf(r.last); number++ {
		if !p.reserved[a][number] {
			runs = appendRun(runs, blockAt(a, number))
		}
	}
	return runs
}

// run is a PortBlock of a lease.
type run struct {
	PortBlock
	lease *Lease
}

// indexPorts makes Tenant ready.
func (p *Policy) indexPorts() {
	for _, l := range p.leases {
		for _, b := range l.Blocks {
			p.runs[l.Protocol] = append(p.runs[l.Protocol], run{b, l})
		}
	}
	for _, runs := range p.runs {
		slices.SortFunc(runs, func(a, b run) int { return a.compare(Endpoint{b.Frontend, b.First}) })
	}
}

func (r run) compare(e Endpoint) int {
	return cmp.Or(cmp.Compare(r.Frontend, e.Addr), cmp.Compare(r.First, e.Port))
}

// Tenant returns the member's lease that a port of a frontend was given out to, or nil.
// Flows that have it yet come before who owns it now.
func (p *Policy) Tenant(e Endpoint, proto packet.Protocol) *Lease {
	if p.leaving.has(e, proto) {
		return p.leaver(e, proto)
	}
	return p.owning(e, proto)
}

// leaver returns one whose flows have a port that it owns no longer.
func (p *Policy) leaver(e Endpoint, proto packet.Protocol) *Lease {
	i := slices.IndexFunc(p.leases, func(l *Lease) bool {
		return l != nil && l.Protocol == proto && slices.ContainsFunc(l.former, func(u *usage) bool {
			_, has := u.has(e)
			return has
		})
	})
	return p.leases[i]
}

func (p *Policy) owning(e Endpoint, proto packet.Protocol) *Lease {
	runs := p.runs[proto]
	i, exact := slices.BinarySearchFunc(runs, e, run.compare)
	if !exact {
		i-- // the one that begins before it
	}
	if i < 0 || runs[i].Frontend != e.Addr || int(e.Port)-int(runs[i].First) >= runs[i].Count {
		return nil
	}
	return runs[i].lease
}

// Mapped returns the member's own endpoint that a port of its lease stands for; false
// if it has no flows, or stands for several (TCP).
func (l *Lease) Mapped(ext Endpoint) (Endpoint, bool) {
	if l.perDestination() {
		return Endpoint{}, false
	}
	for _, u := range append([]*usage{&l.usage}, l.former...) {
		if internal, ok := u.has(ext); ok {
			return Endpoint{l.Member, internal}, true
		}
	}
	return Endpoint{}, false
}
