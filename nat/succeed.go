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
// until their flows end, whoever has them now. Packets wait meanwhile: where blocks have
// changed it looks at each port of their leases, about a nanosecond for one that is free
// and some tens for one in use.
func (p *Policy) Succeed(old *Policy) {
	heirs := make(map[owner]*Lease, len(p.leases))
	fresh := p.leases
	for _, l := range fresh {
		heirs[l.owner()] = l
	}
	*p.leaving = *old.leaving
	lost := old.Lost(p)
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
			heir.inherit(was, lost)
			p.leases[i] = heir
			delete(heirs, was.owner())
		}
	}
	p.settleIn(fresh, heirs)
	for i, l := range p.leases {
		if l == nil {
			continue
		}
		if l.number != nil {
			*l.number = uint32(i + 1)
		}
		if l.Member == 0 && l.total > 0 {
			p.hairpins[frontendPort{Endpoint{Addr: l.Frontend}, l.Protocol}] = uint32(i + 1)
		}
		if l.changed {
			l.countBlocked() // now that all that leave have been noted
		}
	}
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
		return p.newLease(l, p.hairpinBlocks(was.Frontend))
	}
	return p.newLease(l, nil)
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

// Release takes back what Hold has counted on an owner's endpoint, when the flow has
// ended. Owner 0 has none.
func (p *Policy) Release(owner uint32, ext Endpoint, internal uint16) {
	l := p.Owner(owner)
	if l == nil || !l.Release(ext, internal) || !p.leaving.remove(ext, l.Protocol) {
		return
	}
	if t := p.owning(ext, l.Protocol); t != nil {
		t.blocked--
	}
}

// Draining returns how many ports have flows of somebody who owns them no longer.
func (p *Policy) Draining() int { return p.leaving.ports }

// idle says that no flow remembers the lease.
func (l *Lease) idle() bool { return l.used == 0 && len(l.former) == 0 }

// inherit takes over from the lease of the same owner. Ports that it hasn't got drain.
// Mappings to addresses that are lost end now, before their flows do.
func (l *Lease) inherit(was *Lease, lost map[packet.Addr]bool) {
	l.Failed, l.Refused, l.paid, l.mappings = was.Failed, was.Refused, was.paid, was.mappings
	if len(lost) > 0 {
		for internal, m := range l.mappings {
			if lost[m.ext.Addr] {
				delete(l.mappings, internal)
			}
		}
	}
	if sameBlocks(l.Blocks, was.Blocks) {
		l.usage, l.former, l.full, l.blocked, l.changed = was.usage, was.former, was.full, was.blocked, false
		return
	}
	l.countOpened(was)
	if was.flows != nil {
		l.inheritPorts(was)
	}
}

func (l *Lease) inheritPorts(was *Lease) {
	l.prepare()
	regained := func(ext Endpoint) { l.leaving.remove(ext, l.Protocol) }
	for _, old := range was.former {
		if l.move(old, regained); old.used > 0 {
			l.former = append(l.former, old)
		}
	}
	l.move(&was.usage, nil)
	if was.used == 0 {
		return
	}
	for ext := range was.each {
		l.leaving.add(ext, l.Protocol)
	}
	l.former = append(l.former, &was.usage)
}

// countBlocked counts the ports that a mapping may not have yet.
func (l *Lease) countBlocked() {
	l.blocked, l.changed = 0, false
	if l.leaving.ports == 0 {
		return
	}
	for _, b := range l.Blocks {
		if leaving := l.leaving.shelves[shelf{b.Frontend, l.Protocol}]; leaving != nil {
			for port := range b.Count {
				if leaving.n[int(b.First)+port] > 0 {
					l.blocked++
				}
			}
		}
	}
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
