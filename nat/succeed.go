package nat

import "tidegate/packet"

// Next is NewPolicy for one that is to take the place of another: members keep the
// ports that they have, as far as they still have as many and on the same frontends.
// It may run beside the other, which it doesn't touch. An error is the same as
// NewPolicy's: where too little is left beside what members keep, nobody keeps any.
func Next(r Rules, before Dealt) (*Policy, error) {
	p, err := newPolicy(r, before)
	if err != nil && len(before) > 0 {
		return newPolicy(r, nil)
	}
	return p, err
}

// Succeed takes over from the policy in force, which must not be used any more: owner
// numbers stay good as long as flows remember them, and ports that are in use stay so
// until their flows end, whoever has them now.
func (p *Policy) Succeed(old *Policy) {
	heirs := make(map[owner]*Lease, len(p.leases))
	fresh := p.leases
	for _, l := range fresh {
		heirs[l.owner()] = l
	}
	p.leases = make([]*Lease, len(old.leases), len(old.leases)+len(fresh))
	for i, was := range old.leases {
		if was == nil {
			continue
		}
		heir := heirs[was.owner()]
		if heir == nil {
			heir = p.survivor(was)
		}
		if heir != nil {
			heir.inherit(was)
			p.leases[i] = heir
			delete(heirs, was.owner())
		}
	}
	p.settleIn(fresh, heirs)
	for i, l := range p.leases {
		if l != nil && l.number != nil {
			*l.number = uint32(i + 1)
		}
	}
	p.noteDraining()
}

// survivor returns what goes on where the rules know of no such owner: the ports of a
// frontend for hairpin flows, which no rule names, or else a lease without ports, as
// long as there are flows.
func (p *Policy) survivor(was *Lease) *Lease {
	l := Lease{Rule: was.Rule, Member: was.Member, Frontend: was.Frontend, Protocol: was.Protocol}
	switch _, there := p.frontends[was.Frontend]; {
	case was.idle():
		return nil
	case was.Member == 0 && there:
		l.Blocks = p.hairpinBlocks(was.Frontend)
	}
	return newLease(l)
}

// settleIn gives the leases that are new the numbers that nobody has.
func (p *Policy) settleIn(fresh []*Lease, heirs map[owner]*Lease) {
	free := 0
	for _, l := range fresh {
		if heirs[l.owner()] == nil {
			continue
		}
		for free < len(p.leases) && p.leases[free] != nil {
			free++
		}
		if free == len(p.leases) {
			p.leases = append(p.leases, nil)
		}
		p.leases[free] = l
	}
}

// noteDraining finds the ports that one has in use and another owns.
func (p *Policy) noteDraining() {
	for i, l := range p.leases {
		if l == nil {
			continue
		}
		if l.Member == 0 && l.total > 0 {
			p.hairpins[frontendPort{Endpoint{Addr: l.Frontend}, l.Protocol}] = uint32(i + 1)
		}
		for ext := range l.draining {
			key := frontendPort{ext, l.Protocol}
			p.draining[key] = leavers{l, p.draining[key].n + 1}
			if t := p.owning(ext, l.Protocol); t != nil {
				t.block(ext)
			}
		}
	}
}

// Release takes back what Hold has counted on an owner's endpoint, when the flow has
// ended. Owner 0 has none.
func (p *Policy) Release(owner uint32, ext Endpoint, internal uint16) {
	l := p.Owner(owner)
	if l == nil || !l.Release(ext, internal) {
		return
	}
	key := frontendPort{ext, l.Protocol}
	if d := p.draining[key]; d.n > 1 {
		p.draining[key] = leavers{d.lease, d.n - 1}
		return
	}
	delete(p.draining, key)
	if t := p.owning(ext, l.Protocol); t != nil {
		t.unblock(ext)
	}
}

// leavers are those who have a port in use and own it no longer: one, but for TCP,
// where a port serves several as long as their destinations differ.
type leavers struct {
	lease *Lease // one of them
	n     int
}

// Draining returns how many ports have flows of somebody who owns them no longer.
func (p *Policy) Draining() int { return len(p.draining) }

// drained is a port that is owned no longer, but has flows.
type drained struct {
	flows  uint32
	inside uint16 // the member's own port, of a mapping
}

// foreign marks a port that another's flows are to leave yet: no mapping may take it,
// and a TCP flow must ask whether the tuple is free.
const foreign = 1 << 31

func (l *Lease) block(ext Endpoint) {
	l.prepare()
	if i, _, ok := l.index(ext); ok {
		l.flows[i] |= foreign
	}
}

func (l *Lease) unblock(ext Endpoint) {
	if i, _, ok := l.index(ext); ok && l.flows != nil {
		l.flows[i] &^= foreign
	}
}

// idle says that no flow remembers the lease.
func (l *Lease) idle() bool { return l.used == 0 && len(l.draining) == 0 }

// inherit takes over from the lease of the same owner. Ports that it hasn't got
// drain.
func (l *Lease) inherit(was *Lease) {
	l.Failed, l.Refused, l.paid = was.Failed, was.Refused, was.paid
	if was.flows == nil {
		l.countOpened(was)
		return
	}
	if sameBlocks(l.Blocks, was.Blocks) {
		l.Blocks, l.used, l.flows, l.inside = was.Blocks, was.used, was.flows, was.inside
		l.mappings, l.draining, l.full = was.mappings, was.draining, was.full
		return
	}
	l.prepare()
	l.countOpened(was)
	l.mappings = was.mappings
	for i, n := range was.flows {
		if n&^foreign > 0 {
			l.carry(was.endpoint(i), drained{n &^ foreign, was.inside[i]})
		}
	}
	for ext, d := range was.draining {
		l.carry(ext, *d)
	}
}

func sameBlocks(a, b []PortBlock) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Frontend != b[i].Frontend || a[i].First != b[i].First || a[i].Count != b[i].Count {
			return false
		}
	}
	return true
}

// countOpened goes on counting for each frontend.
func (l *Lease) countOpened(was *Lease) {
	opened := make(map[packet.Addr]uint64)
	for _, b := range was.Blocks {
		opened[b.Frontend] += b.Opened
	}
	for i := range l.Blocks {
		b := &l.Blocks[i]
		b.Opened += opened[b.Frontend]
		delete(opened, b.Frontend)
	}
}

// carry puts a port in use where it belongs now.
func (l *Lease) carry(ext Endpoint, d drained) {
	i, b, ok := l.index(ext)
	if !ok {
		l.draining[ext] = &d
		return
	}
	l.flows[i], l.inside[i] = d.flows, d.inside
	l.used++
	b.Used++
}
