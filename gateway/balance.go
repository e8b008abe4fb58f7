package gateway

import (
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/packet"
)

// balance is which backends take new flows, and which are being drained. What
// probes and operators say is noted at once, and carried out by the control
// goroutine: for all that has come in together, at once.
//
//	[I] immutable   [B] under mu
type balance struct {
	mu     sync.Mutex
	pools  []*nat.Pool     // [B]
	up     map[probed]bool // [B] what a probe has found last; absent: nothing yet
	stale  []*nat.Pool     // [B] whose choice has to be made again
	busy   bool            // [B] those that were stale are being made
	drains drains          // [B]
	wake   chan struct{}   // [I] capacity 1: an operator has changed something

	made map[*nat.Pool]*spreading // [B]
}

// spreading is what a pool's table was made of.
type spreading struct {
	taking  []packet.Addr
	members int
	unseen  bool // by the control goroutine, which moves the UDP flows of who takes no more
}

// probed is a backend as a probe sees it.
type probed struct {
	probe   string
	backend packet.Addr
}

// drains are the backends that have left the pool of a rule, or were set down, and when
// the flows end that it has led there.
type drains map[Choice]int64

func newBalance(pools []*nat.Pool) balance {
	return balance{
		pools: pools, up: make(map[probed]bool), wake: make(chan struct{}, 1), stale: slices.Clone(pools),
		made: make(map[*nat.Pool]*spreading), drains: make(drains),
	}
}

// SetHealth tells what a probe has found of a backend. Until then it is down.
func (g *Gateway) SetHealth(probe string, backend packet.Addr, up bool) {
	b := &g.balance
	b.mu.Lock()
	defer b.mu.Unlock()
	b.up[probed{probe, backend}] = up
	for _, p := range b.pools {
		if p.Probe == probe && p.Has(backend) {
			b.outdate(p)
		}
	}
}

// ForgetHealth undoes SetHealth: nobody asks that backend any more.
func (g *Gateway) ForgetHealth(probe string, backend packet.Addr) {
	b := &g.balance
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.up, probed{probe, backend})
}

func (b *balance) outdate(p *nat.Pool) {
	if !slices.Contains(b.stale, p) {
		b.stale = append(b.stale, p)
	}
}

// rebalance makes the choices again that are stale, moves UDP flows away from
// backends that have gone down, and resets what is drained: all in one walk through
// the flows, if there is anything to end.
func (c *control) rebalance() error {
	moved, drained := make(backendSet), make(backendSet)
	for _, p := range c.staleChoices() { // what comes meanwhile is for the next time: a sweep is due in between
		if lost := c.choose(p); len(lost) > 0 && c.hasUDP(p) {
			moved.add(p, maps.Keys(lost))
		}
	}
	c.balance.chosen()
	for _, d := range c.overdue() {
		drained[d] = true
	}
	if _, err := c.giveUpIf(len(moved) > 0, func(f *conntrack.Flow) bool {
		return f.Tuple[0].Proto == packet.UDP && moved.serves(f)
	}, conntrack.BackendDown); err != nil {
		return err
	}
	_, err := c.giveUpIf(len(drained) > 0, drained.serves, conntrack.Drained)
	return err
}

func (c *control) giveUpIf(any bool, match func(*conntrack.Flow) bool, why conntrack.Reason) (n int, err error) {
	if !any {
		return 0, nil
	}
	return c.giveUp(match, why)
}

// backendSet is backends as rules lead to them.
type backendSet map[Choice]bool

func (s backendSet) add(p *nat.Pool, backends iter.Seq[packet.Addr]) {
	for a := range backends {
		for _, rule := range p.Rules {
			s[Choice{rule, a}] = true
		}
	}
}

// serves says whether a flow was led to one of the backends.
func (s backendSet) serves(f *conntrack.Flow) bool {
	return f.Inbound() && s[Choice{f.Rule, f.Backend()}]
}

func (c *control) staleChoices() (all []*nat.Pool) {
	b := &c.balance
	b.mu.Lock()
	defer b.mu.Unlock()
	all, b.stale = b.stale, nil
	b.busy = len(all) > 0
	return all
}

// chosen notes that the choices that were stale are made.
func (b *balance) chosen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = false
}

// Settled says whether all that was told of backends is in force.
func (g *Gateway) Settled() bool {
	b := &g.balance
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.stale) == 0 && !b.busy
}

// choose spreads a pool's new flows over the backends that take them now, and returns
// those that have gone down. The table is made without the lock that packets wait for.
func (c *control) choose(p *nat.Pool) (lost map[packet.Addr]bool) {
	taking, members, lost := c.look(p)
	stale, unseen := c.balance.unspread(p, taking, members)
	if stale {
		c.spread(p, nat.NewMaglev(taking, members))
	}
	if !unseen {
		return nil
	}
	return lost
}

// look returns who takes new flows, out of how many, and who does not because its
// probe or an operator says so. Whoever has left the pool, or was not asked yet since it
// came back, is no lost one: its flows go on, those of UDP too.
func (g *Gateway) look(p *nat.Pool) (taking []packet.Addr, members int, lost map[packet.Addr]bool) {
	b := &g.balance
	b.mu.Lock()
	defer b.mu.Unlock()
	taking = p.Eligible(func(a packet.Addr) bool { return b.up[probed{p.Probe, a}] })
	lost = make(map[packet.Addr]bool)
	for _, m := range p.Backends {
		up, asked := b.up[probed{p.Probe, m.Addr}]
		_, takes := slices.BinarySearch(taking, m.Addr)
		if !takes && (m.Admin == nat.AdminDown || asked && !up) {
			lost[m.Addr] = true
		}
	}
	return taking, len(p.Backends), lost
}

// unspread says whether the pool's table has to be made anew, which it notes, and
// whether the one there is was not looked at yet.
func (b *balance) unspread(p *nat.Pool, taking []packet.Addr, members int) (stale, unseen bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	made := b.made[p]
	if made != nil && made.members == members && slices.Equal(made.taking, taking) {
		unseen, made.unseen = made.unseen, false
		return false, unseen
	}
	b.made[p] = &spreading{taking: taking, members: members}
	return true, true
}

func (c *control) spread(p *nat.Pool, m *nat.Maglev) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.Spread(m)
}

// hasUDP says whether any UDP flow belongs to a rule of the pool.
func (c *control) hasUDP(p *nat.Pool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(p.Rules, func(rule uint16) bool {
		return c.table.Counts(rule)[conntrack.ProtocolIndex(packet.UDP)][conntrack.Active] > 0
	})
}

// overdue takes out the drains whose time has come.
func (c *control) overdue() (due []Choice) {
	b, now := &c.balance, c.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.drains, func(d Choice, until int64) bool {
		if now < until {
			return false
		}
		due = append(due, d)
		return true
	})
	return due
}

// BackendState is how a backend of a pool stands.
type BackendState struct {
	Pool, Probe string   // Probe is empty where the pool's rules have none
	Rules       []uint16 // the numbers of the rules that share them
	Backend     packet.Addr
	Admin       nat.AdminState
	Up          bool // what its probe found last; true without a probe
	Left        bool // it is no longer in the pool
	Taking      bool // it gets new flows
	Drain       time.Duration
	Draining    bool // its flows are reset in Drain
}

// Backends returns how every backend stands, pool by pool.
func (g *Gateway) Backends() (all []BackendState) {
	b, now := &g.balance, g.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.pools {
		up := func(a packet.Addr) bool { return b.up[probed{p.Probe, a}] }
		taking, leaving := p.Eligible(up), b.drains.of(p)
		for _, m := range p.Backends {
			_, takes := slices.BinarySearch(taking, m.Addr)
			s := BackendState{Pool: p.Name, Probe: p.Probe, Rules: p.Rules, Backend: m.Addr, Admin: m.Admin, Up: p.Probe == "" || up(m.Addr), Taking: takes}
			all = append(all, s.drained(leaving, now))
		}
		for _, a := range slices.Sorted(maps.Keys(leaving)) {
			if !p.Lists(a) {
				s := BackendState{Pool: p.Name, Probe: p.Probe, Rules: p.Rules, Backend: a, Left: true}
				all = append(all, s.drained(leaving, now))
			}
		}
	}
	return all
}

// of returns when the drains of a pool's rules end, by backend.
func (d drains) of(p *nat.Pool) map[packet.Addr]int64 {
	ends := make(map[packet.Addr]int64)
	for choice, until := range d {
		if end, more := ends[choice.Backend]; slices.Contains(p.Rules, choice.Rule) && (!more || until < end) {
			ends[choice.Backend] = until
		}
	}
	return ends
}

func (s BackendState) drained(until map[packet.Addr]int64, now int64) BackendState {
	if end, ok := until[s.Backend]; ok {
		s.Draining, s.Drain = true, time.Duration(max(0, end-now))
	}
	return s
}
