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
		l := &Lease{Frontend: a, Protocol: proto, Blocks: p.hairpinBlocks(a)}
		for _, b := range l.Blocks {
			l.total += b.Count
		}
		p.leases = append(p.leases, l)
		owner = uint32(len(p.leases))
		p.hairpins[key] = owner
	}
	return p.leases[owner-1], owner
}

// hairpinBlocks returns the ports that no rule's falls beside.
func (p *Policy) hairpinBlocks(a packet.Addr) []PortBlock {
	r := p.frontends[a].hairpin()
	stock := inventory{
		frontends: []packet.Addr{a}, reserved: p.reserved,
		next: map[packet.Addr]int{a: blockOf(r.first)}, end: blockOf(r.last) + 1,
	}
	return stock.rest()
}

// run is a PortBlock and the rule of the lease that it is part of.
type run struct {
	PortBlock
	rule uint16
}

// indexPorts makes PortRule ready.
func (p *Policy) indexPorts() {
	for _, l := range p.leases {
		if l.Protocol != packet.TCP {
			continue
		}
		for _, b := range l.Blocks {
			p.runs = append(p.runs, run{b, l.Rule})
		}
	}
	slices.SortFunc(p.runs, func(a, b run) int { return a.compare(Endpoint{b.Frontend, b.First}) })
}

func (r run) compare(e Endpoint) int {
	return cmp.Or(cmp.Compare(r.Frontend, e.Addr), cmp.Compare(r.First, e.Port))
}

// PortRule returns the number of the outbound rule that has given out a TCP port
// of a frontend.
func (p *Policy) PortRule(e Endpoint) (rule uint16, ok bool) {
	i, exact := slices.BinarySearchFunc(p.runs, e, run.compare)
	if !exact {
		i-- // the one that begins before it
	}
	if i < 0 || p.runs[i].Frontend != e.Addr || int(e.Port)-int(p.runs[i].First) >= p.runs[i].Count {
		return 0, false
	}
	return p.runs[i].rule, true
}
