package nexthop

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"

	"tidegate/packet"
)

const (
	// tick is how often neighbours in use are looked after.
	tick = time.Second
	// rereadSoon, in ticks: IPv4 routes that vanish with their interface or source
	// address are flushed silently and after the event of the interface (fib_flush),
	// so that what was read on the event may be too old by a moment.
	rereadSoon = 2
	// rereadAlways, in ticks: whatever else goes wrong mends itself in a minute.
	rereadAlways = 60
	// share is how many times its own duration a Snapshot waits for its successor:
	// with a huge table a storm of events takes a fifth of one CPU, not all of it.
	share = 4
	// asksPerTick bounds the messages to the kernel for neighbours in use.
	asksPerTick = 512
)

// follow owns everything that is not atomic.
func (t *Table) follow(changes <-chan event) error {
	every := time.NewTicker(tick)
	defer every.Stop()
	t.confirm(time.Now()) // the gateways, before the first packet needs them
	for {
		select {
		case <-t.stop:
			return nil
		case e := <-changes:
			t.absorb(e)
			t.drain(changes)
		case <-t.due.C:
			if err := t.publish(); err != nil {
				t.log.Error("cannot follow the kernel's routes, trying again", "error", err)
				t.rereadIn = 1
			}
		case <-t.asks.wake:
			t.solicit()
		case <-every.C:
			t.tick()
		}
	}
}

// drain absorbs what has come in meanwhile, so that a burst makes one Snapshot.
func (t *Table) drain(changes <-chan event) {
	for {
		select {
		case e := <-changes:
			t.absorb(e)
		default:
			return
		}
	}
}

// absorb notes what an event changes.
func (t *Table) absorb(e event) {
	if e.neighbour != nil {
		if t.note(*e.neighbour, e.deleted) {
			t.schedule()
		}
		return
	}
	t.stale, t.lost, t.rereadIn = true, t.lost || e.lost, rereadSoon
	t.schedule()
}

func (t *Table) schedule() { t.due.Reset(max(0, time.Until(t.earliest))) }

// note takes over what the kernel says of a neighbour. It reports whether packets
// go another way for it: they don't when it was merely confirmed or grew stale.
func (t *Table) note(n netlink.Neigh, deleted bool) bool {
	side, ours := sideOf(t.Snapshot().links, n.LinkIndex)
	if !ours {
		return false
	}
	key := neighbourKey{side: side, addr: addrOf(n.IP)}
	old, to := t.neighbours[key], neighbourFrom(n)
	if deleted || to.state == unknown {
		delete(t.neighbours, key)
		delete(t.asked, key) // it may be asked for at once
		return old.state != unknown
	}
	t.neighbours[key] = to
	return old.mac != to.mac || (old.state == failed) != (to.state == failed)
}

// publish makes a Snapshot and stores it if it says anything new.
func (t *Table) publish() error {
	began := time.Now()
	old := t.Snapshot()
	next := &Snapshot{links: old.links, routes: old.routes}
	err := t.read(next)
	if err == nil {
		next.hops = t.hops(next, old)
	}
	t.earliest = time.Now().Add(share * time.Since(began))
	if errors.Is(err, netlink.ErrDumpInterrupted) { // it changed while it was read
		t.schedule()
		return nil
	}
	if err != nil || next.same(old) {
		return err
	}
	t.snapshot.Store(next)
	signal(t.changed)
	t.noteLinks(old, next)
	return nil
}

// read fills next with what has to be read again.
func (t *Table) read(next *Snapshot) (err error) {
	if !t.stale {
		return nil
	}
	for side, l := range next.links {
		if next.links[side], err = t.kernel.refresh(l); err != nil {
			return err
		}
	}
	if next.routes, err = t.kernel.routes(next.links); err != nil {
		return err
	}
	if t.lost {
		if t.neighbours, err = t.kernel.neighbours(next.links); err != nil {
			return err
		}
	}
	if err = t.warnOfRules(); err != nil {
		return err
	}
	t.stale, t.lost = false, false
	return nil
}

// hops makes the Hops of all neighbours. One that did not change stays the same
// Hop, which keeps its mark.
func (t *Table) hops(next, old *Snapshot) map[hopKey]*Hop {
	hops := make(map[hopKey]*Hop, len(old.hops))
	for key, n := range t.neighbours {
		for i, l := range next.routes.legs {
			if l.side != key.side {
				continue
			}
			k := keyOf(uint16(i), key.addr)
			hops[k] = newHop(l, next.links[l.side].MAC, key, n)
			if before := old.hops[k]; before != nil && before.same(hops[k]) {
				hops[k] = before
			}
		}
	}
	return hops
}

// noteLinks logs and announces what follows from a change of the interfaces.
func (t *Table) noteLinks(old, next *Snapshot) {
	for side := range sides {
		was, is := old.links[side], next.links[side]
		switch {
		case was.Index != is.Index:
			t.log.Error("lost interface", "error", fmt.Errorf("nexthop: follow %s interface %s: %w", side, was.Name, errRemoved))
		case was.Up && !is.Up:
			t.log.Warn("interface is down", "side", side.String(), "interface", is.Name)
		case is.Up && (!was.Up || was.MAC.String() != is.MAC.String()):
			t.log.Info("interface is up", "side", side.String(), "interface", is.Name, "mac", is.MAC.String())
			signal(t.arp[side].kick)
		}
	}
}

// warnOfRules names each rule that is not followed once.
func (t *Table) warnOfRules() error {
	names, err := t.kernel.foreignRules(t.ignore)
	for _, n := range names {
		if !t.warned[n] {
			t.warned[n] = true
			t.log.Warn("ip rule is not followed, only the tables local, main and default are", "rule", n)
		}
	}
	return err
}

// tick looks after neighbours in use and reads everything again now and then.
func (t *Table) tick() {
	t.asks.forget()
	now := time.Now()
	for key, at := range t.asked {
		if now.Sub(at) >= confirmAgain {
			delete(t.asked, key)
		}
	}
	t.confirm(now)
	if t.rereadIn--; t.rereadIn <= 0 {
		t.stale, t.lost, t.rereadIn = true, true, rereadAlways
		t.schedule()
	}
}

// solicit asks for the neighbours of the destinations that workers wait for.
func (t *Table) solicit() {
	s, now := t.Snapshot(), time.Now()
	t.asks.take(func(dst packet.Addr) {
		if n, ok := s.neighbourOf(dst); ok {
			t.ask(n, now, unresolvedAgain)
		}
	})
}

// confirm asks for neighbours in use that are stale or silent, as the kernel
// would if it saw our packets: a changed MAC and a failure are noticed, a failed
// neighbour gets another chance, and garbage collection passes by. Gateways always
// count as in use, they are few. Each is asked at most every confirmAgain.
func (t *Table) confirm(now time.Time) {
	s, left := t.Snapshot(), asksPerTick
	ask := func(n neighbourKey) bool {
		asked := left > 0 && t.neighbours[n].state != fresh && t.ask(n, now, confirmAgain)
		if asked {
			left--
		}
		return asked
	}
	for _, g := range s.routes.gateways {
		ask(g)
	}
	for _, h := range s.hops {
		if h.used.Load() && ask(neighbourKey{side: h.Side, addr: h.Neighbour}) {
			h.used.Store(false)
		}
	}
}

// ask reports whether the kernel was told that n is in use; it is not when n was
// asked for within the given time or must not be.
func (t *Table) ask(n neighbourKey, now time.Time, again time.Duration) bool {
	l := t.Snapshot().links[n.side]
	if t.neighbours[n].state == fixed || !l.Up {
		return false
	}
	if at, ok := t.asked[n]; ok && now.Sub(at) < again {
		return false
	}
	t.asked[n] = now
	if err := t.kernel.use(l.Index, n.addr); err != nil {
		t.complaints.Do(func() { t.log.Warn("cannot resolve a neighbour", "side", n.side.String(), "error", err) })
	}
	return true
}
