package gateway

import (
	"fmt"
	"maps"
	"slices"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/packet"
)

// Change is what of a Gateway can be replaced while it runs.
type Change struct {
	Rules  []Rule // under the numbers that they have; those that are gone stay, as Removed
	Names  Names
	Timers conntrack.Timers
	Policy nat.Rules
	Pools  []*nat.Pool // none of those in force
}

// Prepared is a Change that is ready to be adopted.
type Prepared struct {
	change Change
	policy *nat.Policy
	made   map[*nat.Pool]*spreading
}

// Prepare works out all that takes time, beside forwarding. Nothing changes; an error
// says why the Change can't be made. One goroutine at a time may change a Gateway, and
// a Prepared is good until the next Adopt.
func (g *Gateway) Prepare(c Change) (*Prepared, error) {
	policy, err := g.plan(c)
	if err != nil {
		return nil, err
	}
	p := &Prepared{c, policy, make(map[*nat.Pool]*spreading)}
	for _, pool := range c.Pools {
		taking, members, _ := g.look(pool)
		pool.Spread(nat.NewMaglev(taking, members))
		p.made[pool] = &spreading{taking: taking, members: members, unseen: true}
	}
	return p, nil
}

// Check says what Prepare would, without making ready.
func (g *Gateway) Check(c Change) error {
	_, err := g.plan(c)
	return err
}

func (g *Gateway) plan(c Change) (*nat.Policy, error) {
	if n := len(g.Rules()); len(c.Rules) < n {
		return nil, fmt.Errorf("gateway: %d rules take the place of %d: those removed have to stay", len(c.Rules), n)
	}
	return nat.Next(c.Policy, g.dealt())
}

func (g *Gateway) dealt() nat.Dealt {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.policy.Dealt()
}

// Adopt puts a Change in force, between two batches of packets. Flows whose rule
// stands, and whose frontend address is still the gateway's, keep address and port and
// go by their rule's new timers; the others end. The error is that of sending their
// resets: the Change is in force.
func (g *Gateway) Adopt(p *Prepared) error {
	old := g.install(p)
	g.balance.adopt(p, g.now())
	if old.retimed(p) {
		g.rearmAll()
	}
	return g.endFallen(p, old)
}

// replaced is what has been in force.
type replaced struct {
	rules  []Rule
	timers conntrack.Timers
	policy *nat.Policy
}

func (g *Gateway) install(p *Prepared) (old replaced) {
	g.mu.Lock()
	defer g.mu.Unlock()
	old = replaced{g.rules, g.timers, g.policy}
	p.policy.Succeed(g.policy)
	g.policy, g.rules, g.timers = p.policy, p.change.Rules, p.change.Timers
	g.table.SetRules(p.change.Timers, ends(g.rules))
	g.counters.grow(len(g.rules))
	g.public.Store(&public{g.rules, p.change.Names})
	return old
}

// ends are what conntrack has to know of rules.
func ends(rules []Rule) []conntrack.Rule {
	all := make([]conntrack.Rule, len(rules))
	for i, r := range rules {
		all[i] = conntrack.Rule{Idle: r.Idle, UDPIdle: r.UDPIdle, Reset: r.Reset, Ask: r.Ask, Silent: r.Silent}
	}
	return all
}

// retimed says whether any flow may end sooner than it was to.
func (old *replaced) retimed(p *Prepared) bool {
	return old.timers != p.change.Timers || !slices.EqualFunc(old.rules, p.change.Rules[:len(old.rules)], func(a, b Rule) bool {
		return a.Idle == b.Idle && a.UDPIdle == b.UDPIdle
	})
}

// rearmAll has every flow looked at when its time is up by now.
func (g *Gateway) rearmAll() { walk(0, g.rearmSome) }

func (g *Gateway) rearmSome(cursor uint32) (next uint32, seen int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next = g.table.Each(cursor, slice, func(r conntrack.Ref) {
		g.table.Rearm(r)
		seen++
	})
	return next, seen
}

// endFallen ends the flows that stand on nothing any more.
func (g *Gateway) endFallen(p *Prepared, old replaced) error {
	lost := old.policy.Lost(p.policy)
	removed := func(r Rule) bool { return r.Removed }
	if len(lost) == 0 && !slices.ContainsFunc(p.change.Rules, removed) {
		return nil
	}
	_, err := g.giveUp(func(f *conntrack.Flow) bool {
		return p.change.Rules[f.Rule].Removed || slices.ContainsFunc(ownAddresses(f), func(a packet.Addr) bool { return lost[a] })
	}, conntrack.RuleRemoved)
	return err
}

// ownAddresses are the gateway's own that a flow uses.
func ownAddresses(f *conntrack.Flow) []packet.Addr {
	asked, source := f.Tuple[conntrack.Original].Dst, f.Tuple[conntrack.Reply].Dst
	switch {
	case !f.Inbound():
		return []packet.Addr{source}
	case f.Turned && f.Via == 0:
		return []packet.Addr{asked, source}
	}
	return []packet.Addr{asked}
}

// adopt puts the pools of a Change in place of those in force. Who has left the pool of
// a rule, or was set down, is drained if that pool says so.
func (b *balance) adopt(p *Prepared, now int64) {
	pools := make(map[uint16]*nat.Pool) // by rule; those that are gone have none
	for _, pool := range p.change.Pools {
		for _, rule := range pool.Rules {
			pools[rule] = pool
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.pools
	b.pools, b.stale, b.made = p.change.Pools, slices.Clone(p.change.Pools), p.made
	maps.DeleteFunc(b.drains, func(d Choice, _ int64) bool { return pools[d.Rule] == nil || pools[d.Rule].Has(d.Backend) })
	for _, was := range before {
		for _, rule := range was.Rules {
			if pool := pools[rule]; pool != nil && pool.Drain > 0 {
				b.drains.begin(rule, was, pool, now)
			}
		}
	}
	b.nudge()
}

// begin drains who was in the one pool of a rule and is not in the other.
func (d drains) begin(rule uint16, was, pool *nat.Pool, now int64) {
	for _, left := range was.Backends {
		choice := Choice{rule, left.Addr}
		if _, already := d[choice]; !already && left.Admin != nat.AdminDown && !pool.Has(left.Addr) {
			d[choice] = now + int64(pool.Drain)
		}
	}
}

// nudge has the control goroutine look.
func (b *balance) nudge() {
	select {
	case b.wake <- struct{}{}:
	default: // it is about to
	}
}
