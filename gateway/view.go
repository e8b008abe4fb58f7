package gateway

import (
	"runtime"
	"time"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/packet"
)

// slice is how many slots of the flow table are looked at under one hold of the
// lock: some tens of microseconds, as long as a batch of packets takes.
const slice = 128

// stride is how many flows are looked at before a walk through the table rests: a
// millisecond, which is as finely as a process can be woken. So a walk takes a part of
// one CPU only, and a million flows a fifth of a second or two.
const stride = 8192

// walk goes through the flow table slice by slice, until look returns 0; it also says
// how many flows it has seen. Packets that wait for the lock have it in between.
func walk(cursor uint32, look func(uint32) (next uint32, seen int)) {
	for n := 0; ; {
		next, seen := look(cursor)
		if cursor = next; cursor == 0 {
			return
		}
		if n += seen; n >= stride {
			n = 0
			time.Sleep(time.Millisecond)
		} else {
			runtime.Gosched() // to the worker that Unlock has woken: the lock itself would rather have us again
		}
	}
}

// Snapshot is everything that is counted, at one moment.
type Snapshot struct {
	Counters Counters
	Rules    []Rule             // by number; not to be changed
	Flows    int                // living, held ones included
	Draining int                // SNAT ports with flows of who owns them no longer
	MaxFlows int                //
	States   []conntrack.Counts // by rule number
	Leases   []LeaseCounts
}

// LeaseCounts is what one pool member's ports have been used for.
type LeaseCounts struct {
	Rule           uint16
	Member         packet.Addr
	Protocol       packet.Protocol
	Blocks         []nat.PortBlock
	Leaving        []nat.PortBlock // owned no longer, used yet
	Opened, Failed uint64
}

// public is what is asked without the lock.
type public struct {
	rules []Rule
	names Names
}

// Rules returns the rules by number, those removed included. It is not to be changed.
func (g *Gateway) Rules() []Rule { return g.public.Load().rules }

// Frontends returns the names of the frontend configurations. It is not to be changed.
func (g *Gateway) Frontends() Names { return g.public.Load().names }

// Now returns the gateway's clock, in which flows are dated.
func (g *Gateway) Now() int64 { return g.now() }

// Len returns how many flows live, those on hold included.
func (g *Gateway) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.table.Len()
}

// Snapshot returns a copy of all counters.
func (g *Gateway) Snapshot() Snapshot {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Snapshot{
		Counters: g.counters.clone(), Rules: g.rules, Flows: g.table.Len(), MaxFlows: g.table.Cap(), Draining: g.policy.Draining(),
	}
	for i := range g.counters.Created {
		s.States = append(s.States, g.table.Counts(uint16(i)))
	}
	for _, l := range g.policy.Leases() {
		s.Leases = append(s.Leases, LeaseCounts{
			Rule: l.Rule, Member: l.Member, Protocol: l.Protocol, Opened: l.Opened(), Failed: l.Failed,
			Blocks: append([]nat.PortBlock(nil), l.Blocks...), Leaving: l.Leaving(),
		})
	}
	return s
}

// Flows calls yield with a copy of every living flow from cursor on until it
// returns false, and returns where to go on; 0 means the end. The table goes on
// changing meanwhile: a flow that lives all the time is shown exactly once.
func (g *Gateway) Flows(cursor uint32, yield func(*conntrack.Flow) bool) (next uint32) {
	buf := make([]conntrack.Flow, 0, slice)
	walk(cursor, func(cursor uint32) (uint32, int) {
		more := g.copyFlows(cursor, &buf)
		for i := range buf {
			if !yield(&buf[i]) {
				next = uint32(buf[i].ID) + 1
				return 0, 0
			}
		}
		return more, len(buf)
	})
	return next
}

func (g *Gateway) copyFlows(cursor uint32, buf *[]conntrack.Flow) (next uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	*buf = (*buf)[:0]
	return g.table.Each(cursor, slice, func(r conntrack.Ref) {
		*buf = append(*buf, g.table.Flow(r, now))
	})
}

// Kill ends the living flows that match, ESTABLISHED TCP with RST to both ends,
// and returns how many. match is called without the lock held.
func (g *Gateway) Kill(match func(*conntrack.Flow) bool) (killed int, err error) {
	return g.giveUp(match, conntrack.Killed)
}

// giveUp ends the living flows that match, slice by slice.
func (g *Gateway) giveUp(match func(*conntrack.Flow) bool, why conntrack.Reason) (n int, err error) {
	buf := make([]conntrack.Flow, 0, slice)
	walk(0, func(cursor uint32) (uint32, int) {
		next := g.copyFlows(cursor, &buf)
		ended := g.end(buf, match, why)
		n += len(ended)
		if err = g.control.resetAll(ended); err != nil {
			return 0, 0
		}
		return next, len(buf)
	})
	return n, err
}

func (g *Gateway) end(flows []conntrack.Flow, match func(*conntrack.Flow) bool, why conntrack.Reason) (ended []conntrack.Ended) {
	var doomed []conntrack.ID
	for i := range flows {
		if match(&flows[i]) {
			doomed = append(doomed, flows[i].ID)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for _, id := range doomed {
		if ref, ok := g.table.Find(id); ok {
			e := g.table.End(ref, why, now)
			g.settle(&e, now)
			ended = append(ended, e)
		}
	}
	return ended
}
