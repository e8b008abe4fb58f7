package conntrack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"tidegate/packet"
)

// ErrFull means that the table holds maxFlows flows, none of which is spent.
var ErrFull = errors.New("conntrack: table is full")

// ErrTaken means that another flow already has one of the two tuples.
var ErrTaken = errors.New("conntrack: tuple is taken")

// Table holds flows. See the package comment for who may call.
type Table struct {
	index   index
	entries []entry
	sides   []side
	free    uint32 // head of the list of freed slots
	fresh   uint32 // slots from here on have never been used
	live    int    // flows, tombstones not counted

	wheel  [wheelSlots]list
	swept  uint32 // the wheel is clear of everything due before this, in ms
	graves list   // tombstones, oldest first: all live equally long

	timers [numStates]uint32 // ms; 0 where the rule's idle timeout holds
	icmp   uint32            // ms

	outboundOnly bool // Timers.UDPOutboundOnly

	rules  []ruleTimes
	counts []Counts

	epoch uint32 // added to generations in IDs
}

type ruleTimes struct {
	idle, udp          uint32 // ms
	reset, ask, silent bool
}

// Counts are a rule's flows by protocol and state; see ProtocolIndex.
type Counts [NumProtocols][numStates]int

// NumProtocols is how many protocols are counted apart.
const NumProtocols = 3

// ProtocolIndex maps TCP, UDP and ICMP to 0, 1 and 2.
func ProtocolIndex(p packet.Protocol) int {
	switch p {
	case packet.TCP:
		return 0
	case packet.UDP:
		return 1
	}
	return 2
}

// New maps memory for maxFlows flows (at most 2³⁰), which the kernel gives page
// by page as they are used. now is where the caller's clock stands.
func New(maxFlows int, timers Timers, rules []Rule, now int64) (*Table, error) {
	t := &Table{free: none, graves: list{none, none}, swept: tick(now) &^ (1<<wheelShift - 1), epoch: rand.Uint32() >> 1}
	for i := range t.wheel {
		t.wheel[i] = list{none, none}
	}
	if err := t.allocate(maxFlows); err != nil {
		t.Close()
		return nil, err
	}
	t.SetRules(timers, rules)
	return t, nil
}

// SetRules replaces the timers and what rules say, under the numbers that they have; of
// those there are never fewer than before. Flows go by it from now on, but for when
// they are looked at next: Rearm those whose time has become shorter.
func (t *Table) SetRules(timers Timers, rules []Rule) {
	t.timers[SynSent] = millis(timers.HalfOpen)
	t.timers[SynReceived] = millis(timers.HalfOpen)
	t.timers[TimeWait] = millis(timers.FinHold)
	t.timers[Closed] = millis(timers.ResetHold)
	t.icmp = millis(timers.ICMP)
	t.outboundOnly = timers.UDPOutboundOnly
	t.rules = t.rules[:0]
	for _, r := range rules {
		t.rules = append(t.rules, timesOf(r))
	}
	t.counts = append(t.counts, make([]Counts, len(rules)-len(t.counts))...)
}

func timesOf(r Rule) ruleTimes {
	times := ruleTimes{idle: millis(r.Idle), udp: millis(r.UDPIdle), reset: r.Reset, ask: r.Ask, silent: r.Silent}
	if times.udp == 0 {
		times.udp = times.idle
	}
	return times
}

func (t *Table) allocate(maxFlows int) (err error) {
	if maxFlows < 1 || maxFlows > 1<<30 {
		return fmt.Errorf("conntrack: %d flows is outside 1–2³⁰", maxFlows)
	}
	if t.index, err = newIndex(2*maxFlows, [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1}); err != nil {
		return err
	}
	if t.entries, err = mapped[entry](maxFlows); err != nil {
		return err
	}
	t.sides, err = mapped[side](maxFlows)
	return err
}

// Close gives the memory back; the Table must not be used after it.
func (t *Table) Close() {
	unmap(t.index.buckets)
	unmap(t.entries)
	unmap(t.sides)
	t.index.buckets, t.entries, t.sides = nil, nil, nil
	t.fresh, t.live = 0, 0 // whoever still lists flows finds none
}

// Len returns how many flows live, those on hold included, tombstones not.
func (t *Table) Len() int { return t.live }

// Cap returns how many flows there is room for.
func (t *Table) Cap() int { return len(t.entries) }

// Counts returns the flows of a rule by protocol and state.
func (t *Table) Counts(rule uint16) Counts { return t.counts[rule] }

// Lookup finds the direction of a flow whose packets carry that tuple. It finds
// tombstones too: ask State.
func (t *Table) Lookup(k *packet.Tuple) (Ref, bool) {
	h := t.index.hash(k)
	tag := uint32(h >> 32)
	b := t.index.first(h)
	for range 2 {
		for _, e := range &t.index.buckets[b] {
			if entryTag(e) != tag || e == 0 {
				continue
			}
			if r := entryRef(e); t.half(r).key == *k {
				return r, true
			}
		}
		b = t.index.other(b, tag)
	}
	return 0, false
}

func (t *Table) half(r Ref) *half { return &t.entries[r.slot()][r.Direction()] }

// State returns the state of the flow.
func (t *Table) State(r Ref) State { return t.half(r).state() }

// FromInside says whether packets of this direction come from the inside.
func (t *Table) FromInside(r Ref) bool { return t.half(r).meta&fromInside != 0 }

// Rewrite returns the translation of this direction. It dies with the flow.
func (t *Table) Rewrite(r Ref) *packet.Rewrite { return &t.half(r).rewrite }

// Course returns the way of this direction: the address to find the next hop by,
// and whether it leaves on the inside.
func (t *Table) Course(r Ref) (dst packet.Addr, inside bool) {
	h := t.half(r)
	if h.meta&special != 0 {
		return t.detour(r)
	}
	return h.rewrite.Dst, h.meta&fromInside == 0
}

func (t *Table) detour(r Ref) (dst packet.Addr, inside bool) {
	h, s := t.half(r), &t.sides[r.slot()]
	dst, inside = h.rewrite.Dst, h.meta&fromInside == 0 || s.path&turned != 0
	if s.path&direct != 0 && r.Direction() == Original {
		dst = packet.Addr(s.owner)
	}
	return dst, inside
}

// Rule returns the number of the flow's rule.
func (t *Table) Rule(r Ref) uint16 { return t.sides[r.slot()].rule }

// New flow, as the caller has decided on it.
type Admission struct {
	Original   packet.Tuple // as it arrives
	Translated packet.Tuple // as it leaves; its reverse is what the answers carry
	Inside     bool         // the original direction comes from the inside
	Turned     bool         // and leaves there again
	Rule       uint16
	Owner      uint32      // given back when the flow ends
	Via        packet.Addr // the backend to hand the original direction to as it is (direct server return); Owner is 0 then
}

// path returns what Table keeps of a flow's way, and who owns it.
func (a *Admission) path() (path uint8, owner uint32) {
	if a.Turned {
		path = turned
	}
	if a.Via != 0 {
		return path | direct, uint32(a.Via)
	}
	return path, a.Owner
}

// Insert adds a flow and returns its original direction; the packet that made it
// is still to be observed. A tombstone in the way gives way, and so does the
// oldest one when the table is full.
func (t *Table) Insert(a *Admission, now int64) (Ref, error) {
	reply := a.Translated.Reverse()
	if !t.vacate(&a.Original) || !t.vacate(&reply) {
		return 0, ErrTaken
	}
	slot, ok := t.take()
	if !ok {
		return 0, ErrFull
	}
	r := makeRef(slot, Original)
	if !t.index.insert(t.index.hash(&a.Original), r) {
		t.give(slot)
		return 0, ErrFull
	}
	if !t.index.insert(t.index.hash(&reply), r|1) {
		t.index.remove(t.index.hash(&a.Original), r)
		t.give(slot)
		return 0, ErrFull
	}
	t.fill(slot, a, &reply, now)
	return r, nil
}

func (t *Table) fill(slot uint32, a *Admission, reply *packet.Tuple, now int64) {
	ms := tick(now)
	state := Active
	if a.Original.Proto == packet.TCP {
		state = SynSent
	}
	back := a.Original.Reverse()
	t.entries[slot] = entry{
		{key: a.Original, rewrite: packet.NewRewrite(a.Original, a.Translated), last: ms, wscale: noSyn, meta: uint8(state)},
		{key: *reply, rewrite: packet.NewRewrite(*reply, back), last: ms, wscale: noSyn, meta: uint8(state)},
	}
	s := &t.sides[slot]
	path, owner := a.path()
	*s = side{gen: s.gen + 1, created: now, owner: owner, rule: a.Rule, path: path}
	for i := range t.entries[slot] {
		h := &t.entries[slot][i]
		if a.Turned || a.Inside == (Direction(i) == Original) {
			h.meta |= fromInside
		}
		if path != 0 {
			h.meta |= special
		}
	}
	t.live++
	t.counts[s.rule][ProtocolIndex(a.Original.Proto)][state]++
	t.arm(slot, ms+t.timeout(slot))
}

// vacate makes sure that no flow has the tuple: false if a living one has.
func (t *Table) vacate(k *packet.Tuple) bool {
	r, ok := t.Lookup(k)
	if !ok {
		return true
	}
	if t.State(r) != Tombstone {
		return false
	}
	t.Forget(r)
	return true
}

// Forget removes a tombstone.
func (t *Table) Forget(r Ref) {
	t.unlink(&t.graves, r.slot())
	t.drop(r.slot())
}

// take returns an empty slot.
func (t *Table) take() (uint32, bool) {
	if t.free == none && int(t.fresh) == len(t.entries) {
		if t.graves.head == none {
			return 0, false
		}
		t.Forget(makeRef(t.graves.head, Original))
	}
	if slot := t.free; slot != none {
		t.free = t.sides[slot].next
		return slot, true
	}
	t.fresh++
	return t.fresh - 1, true
}

func (t *Table) give(slot uint32) {
	t.sides[slot].next = t.free
	t.free = slot
}

// drop takes the flow out of the index and frees its slot.
func (t *Table) drop(slot uint32) {
	e := &t.entries[slot]
	t.index.remove(t.index.hash(&e[Original].key), makeRef(slot, Original))
	t.index.remove(t.index.hash(&e[Reply].key), makeRef(slot, Reply))
	e[Original].meta, e[Reply].meta = uint8(Free), uint8(Free)
	t.give(slot)
}

func (t *Table) setState(slot uint32, s State) {
	e := &t.entries[slot]
	c := &t.counts[t.sides[slot].rule][ProtocolIndex(e[0].key.Proto)]
	c[e[0].state()]--
	c[s]++
	for i := range e {
		e[i].meta = e[i].meta&^metaState | uint8(s)
	}
}

// tick is the table's coarse clock: milliseconds, which wrap after 49 days and
// are compared by difference; no timeout is longer than a day.
func tick(now int64) uint32 { return uint32(now / int64(time.Millisecond)) }
