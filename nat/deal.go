package nat

import (
	"cmp"
	"fmt"
	"slices"

	"tidegate/packet"
)

// owner is whose ports they are: a member's, or a frontend's for its hairpin flows.
type owner struct {
	member, frontend packet.Addr
	protocol         packet.Protocol
}

func (l *Lease) owner() owner { return owner{l.Member, l.Frontend, l.Protocol} }

// Dealt is which ports each member has.
type Dealt map[owner][]PortBlock

// Dealt returns that of a policy, for Next.
func (p *Policy) Dealt() Dealt {
	d := make(Dealt, len(p.leases))
	for _, l := range p.Leases() {
		d[l.owner()] = l.Blocks // whose places and sizes do not change
	}
	return d
}

// stock is the blocks of frontends that are still to be dealt out.
type stock struct {
	reserved map[packet.Addr]map[int]bool // block numbers that inbound rules' ports fall in
	taken    map[shelf]*[blocksPerFrontend]bool
}

// shelf is the blocks of one frontend for one protocol.
type shelf struct {
	frontend packet.Addr
	protocol packet.Protocol
}

// place is a block: the index of its frontend among a rule's, and its number.
type place struct{ frontend, number int }

// claim takes a block for all protocols of a rule; false: one of them has given it out.
func (s *stock) claim(r *OutboundRule, at place) bool {
	frontend := r.Frontends[at.frontend]
	if s.reserved[frontend][at.number] {
		return false
	}
	for _, proto := range r.Protocols {
		if s.shelf(frontend, proto)[at.number] {
			return false
		}
	}
	for _, proto := range r.Protocols {
		s.shelf(frontend, proto)[at.number] = true
	}
	return true
}

func (s *stock) shelf(frontend packet.Addr, proto packet.Protocol) *[blocksPerFrontend]bool {
	key := shelf{frontend, proto}
	if s.taken[key] == nil {
		s.taken[key] = new([blocksPerFrontend]bool)
	}
	return s.taken[key]
}

// keep claims what a member has of the rule's frontends by now, n blocks at most.
func (s *stock) keep(r *OutboundRule, blocks []PortBlock, n int) (kept []place) {
	for i := range blocks {
		b := &blocks[i] // in force: its counters change
		at := place{frontend: slices.Index(r.Frontends, b.Frontend)}
		for i := 0; i < b.Count/BlockSize && at.frontend >= 0 && len(kept) < n; i++ {
			at.number = blockOf(b.First) + i
			if s.claim(r, at) {
				kept = append(kept, at)
			}
		}
	}
	return kept
}

// take claims the first n blocks that are left, from a place on, and returns where it
// stopped.
func (s *stock) take(r *OutboundRule, from place, n int) (taken []place, next place) {
	for ; from.frontend < len(r.Frontends); from = (place{frontend: from.frontend + 1}) {
		for ; from.number < blocksPerFrontend; from.number++ {
			if len(taken) == n {
				return taken, from
			}
			if s.claim(r, from) {
				taken = append(taken, from)
			}
		}
	}
	return taken, from
}

// deal gives every member of every rule its ports: those that it has, as far as they
// are still the rule's, and then others. So nobody's ports change hands without need.
func (p *Policy) deal(rules []OutboundRule, before Dealt) error {
	s := stock{reserved: p.reserved, taken: make(map[shelf]*[blocksPerFrontend]bool)}
	kept := make([][][]place, len(rules))
	for i := range rules {
		r := &rules[i]
		if r.Ports < BlockSize || r.Ports%BlockSize != 0 {
			return fmt.Errorf("nat: rule %s: %d ports for each member is not a multiple of %d", r.Name, r.Ports, BlockSize)
		}
		for _, member := range r.Members {
			kept[i] = append(kept[i], s.keep(r, before.of(member, r.Protocols), r.Ports/BlockSize))
		}
	}
	for i := range rules {
		if err := p.dealRule(&s, &rules[i], kept[i]); err != nil {
			return err
		}
	}
	return nil
}

// of returns what a member has for the first of the protocols that it has any for.
func (d Dealt) of(member packet.Addr, protocols []packet.Protocol) []PortBlock {
	for _, proto := range protocols {
		if blocks := d[owner{member: member, protocol: proto}]; len(blocks) > 0 {
			return blocks
		}
	}
	return nil
}

func (p *Policy) dealRule(s *stock, r *OutboundRule, kept [][]place) error {
	for _, a := range r.Frontends {
		f := p.frontends[a]
		f.snat = true
		p.frontends[a] = f
	}
	var from place
	for i, addr := range r.Members {
		missing := r.Ports/BlockSize - len(kept[i])
		var more []place
		if more, from = s.take(r, from, missing); len(more) < missing {
			return fmt.Errorf("nat: rule %s: no ports left for member %v (each takes %d)", r.Name, addr, r.Ports)
		}
		blocks := r.runs(append(kept[i], more...))
		for _, proto := range r.Protocols {
			if err := p.lease(r, addr, proto, blocks); err != nil {
				return err
			}
		}
	}
	return nil
}

// runs joins blocks that follow one another.
func (r *OutboundRule) runs(blocks []place) (runs []PortBlock) {
	slices.SortFunc(blocks, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.frontend, b.frontend), cmp.Compare(a.number, b.number))
	})
	for _, at := range blocks {
		runs = appendRun(runs, blockAt(r.Frontends[at.frontend], at.number))
	}
	return runs
}

func (p *Policy) lease(r *OutboundRule, addr packet.Addr, proto packet.Protocol, blocks []PortBlock) error {
	m := p.members[addr]
	if m == nil {
		m = new(member)
		p.members[addr] = m
	}
	if *m.lease(proto) != 0 {
		return fmt.Errorf("nat: rule %s: member %v already has an outbound rule for %v", r.Name, addr, proto)
	}
	l := p.newLease(Lease{Rule: r.Rule, Member: addr, Protocol: proto}, slices.Clone(blocks))
	l.number = m.lease(proto)
	p.leases = append(p.leases, l)
	*l.number = uint32(len(p.leases))
	return nil
}
