package conntrack

import (
	"errors"
	"slices"
	"time"

	"tidegate/packet"

	"pgregory.net/rapid"
)

// model is what a Table is compared with: the same promises kept with maps,
// slices and 64-bit clocks.
type model struct {
	table *Table
	room  int
	now   int64
	flows map[packet.Tuple]*modelFlow // by both tuples, tombstones too
	live  []*modelFlow
	tombs []*modelFlow // oldest first
	gone  []ID
}

type modelFlow struct {
	a       Admission
	ref     Ref
	id      ID
	state   State
	created int64 // ns
	last    int64 // ns
	buried  int64 // ns
	packets [2]uint64
	bytes   [2]uint64
	next    [2]uint32 // SND.NXT of each end
	told    [2]uint32 // what each end acknowledged
	fin     [2]bool
}

func (f *modelFlow) reply() packet.Tuple { return f.a.Translated.Reverse() }

func (f *modelFlow) tcp() bool { return f.a.Original.Proto == packet.TCP }

func (f *modelFlow) timeout() time.Duration {
	idle := testRule[f.a.Rule].Idle
	switch {
	case f.a.Original.Proto == packet.ICMP:
		return testTimers.ICMP
	case f.state == SynSent || f.state == SynReceived:
		return testTimers.HalfOpen
	case f.state == TimeWait:
		return testTimers.FinHold
	case f.state == Closed:
		return testTimers.ResetHold
	}
	return idle
}

func (f *modelFlow) reason() Reason {
	switch f.state {
	case SynSent, SynReceived:
		return HalfOpen
	case TimeWait:
		return Fin
	case Closed:
		return Rst
	}
	return Idle
}

// grace is how late a flow may end (contract: max(1 s, 2 %)).
func grace(timeout time.Duration) time.Duration { return max(time.Second, timeout/50) }

// Insert is tried with tuples that are often taken.
func (m *model) insert(t *rapid.T) {
	a := drawAdmission(t)
	want := m.wantInsert(a)
	r, err := m.table.Insert(a, m.now)
	if !errors.Is(err, want) {
		t.Fatalf("Insert %v → %v: %v, want %v", a.Original, a.Translated, err, want)
	}
	if err != nil {
		return
	}
	f := &modelFlow{a: *a, ref: r, state: Active, created: m.now, last: m.now}
	f.id = m.table.Flow(r, m.now).ID
	if slices.Contains(m.gone, f.id) {
		t.Fatalf("ID %x is used again", f.id)
	}
	m.flows[a.Original], m.flows[f.reply()] = f, f
	m.live = append(m.live, f)
	if f.tcp() {
		f.state = SynSent
		m.syn(t, f)
	}
}

// wantInsert says what Insert has to answer, and makes the room that it makes.
func (m *model) wantInsert(a *Admission) error {
	for _, k := range []packet.Tuple{a.Original, a.Translated.Reverse()} {
		f := m.flows[k]
		if f != nil && f.state != Tombstone {
			return ErrTaken
		}
		if f != nil {
			m.unbury(f)
		}
	}
	if len(m.live)+len(m.tombs) < m.room {
		return nil
	}
	if len(m.tombs) == 0 {
		return ErrFull
	}
	m.unbury(m.tombs[0])
	return nil
}

func drawAdmission(t *rapid.T) *Admission {
	proto := rapid.SampledFrom([]packet.Protocol{packet.TCP, packet.TCP, packet.UDP, packet.ICMP}).Draw(t, "protocol")
	a := admission(proto, rapid.Uint32Range(0, 30).Draw(t, "original"), 0)
	a.Translated = admission(proto, rapid.Uint32Range(0, 30).Draw(t, "translated"), 0).Translated
	a.Rule = rapid.SampledFrom([]uint16{resets, silent, short, long}).Draw(t, "rule")
	a.Inside = rapid.Bool().Draw(t, "inside")
	a.Owner = rapid.Uint32().Draw(t, "owner")
	return a
}

func (m *model) unbury(f *modelFlow) {
	m.tombs = slices.DeleteFunc(m.tombs, func(g *modelFlow) bool { return g == f })
	m.remove(f)
}

func (m *model) remove(f *modelFlow) {
	delete(m.flows, f.a.Original)
	delete(m.flows, f.reply())
	m.gone = append(m.gone, f.id)
}

// forget removes a tombstone by hand.
func (m *model) forget(t *rapid.T) {
	if len(m.tombs) == 0 {
		return
	}
	f := rapid.SampledFrom(m.tombs).Draw(t, "tombstone")
	r, ok := m.table.Lookup(rapid.SampledFrom([]*packet.Tuple{&f.a.Original, ptr(f.reply())}).Draw(t, "tuple"))
	if !ok {
		t.Fatalf("no tombstone of %v", f.a.Original)
	}
	m.table.Forget(r)
	m.unbury(f)
}

func ptr[T any](v T) *T { return &v }

// kill ends a flow by hand.
func (m *model) kill(t *rapid.T) {
	if f := m.pick(t); f != nil && rapid.IntRange(0, 3).Draw(t, "mercy") == 0 {
		m.ended(t, m.table.End(f.ref|Ref(rapid.IntRange(0, 1).Draw(t, "direction")), Killed, m.now))
	}
}

func (m *model) pick(t *rapid.T) *modelFlow {
	if len(m.live) == 0 {
		return nil
	}
	return rapid.SampledFrom(m.live).Draw(t, "flow")
}

// pass lets time go by, with a sweep at least every 100 ms.
func (m *model) pass(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{
		time.Millisecond / 2, 20 * time.Millisecond, 100 * time.Millisecond, time.Second, 2 * time.Second, 8 * time.Second, 20 * time.Second,
		time.Minute, 3 * time.Minute, 5 * time.Minute, 30 * time.Minute,
	}).Draw(t, "time")
	step := rapid.Int64Range(max(int64(time.Millisecond)/3, int64(d)/20_000), int64(100*time.Millisecond)).Draw(t, "step")
	buf := make([]Ended, 0, rapid.IntRange(1, 4).Draw(t, "budget"))
	for until := m.now + int64(d); m.now < until; {
		if len(m.live)+len(m.tombs) == 0 {
			step = int64(d)
		}
		m.now += step
		m.sweep(t, buf)
	}
}

func (m *model) sweep(t *rapid.T, buf []Ended) {
	for more := true; more; {
		var got []Ended
		got, more = m.table.Sweep(m.now, buf)
		for _, e := range got {
			m.ended(t, e)
		}
	}
	for len(m.tombs) > 0 && millisecond(m.now)-millisecond(m.tombs[0].buried) >= 30_000 {
		m.unbury(m.tombs[0])
	}
	for _, f := range m.live {
		if idle := time.Duration(m.now - f.last); idle > f.timeout()+grace(f.timeout()) {
			t.Fatalf("%v %v lives %v after its last packet, %v allowed", f.state, f.a.Original, idle, f.timeout())
		}
	}
}

func millisecond(now int64) int64 { return now / int64(time.Millisecond) }

// ended notes the end of a flow and checks that it was due and is told of rightly.
func (m *model) ended(t *rapid.T, e Ended) {
	f := m.flows[e.Tuple[Original]]
	if f == nil || f.state == Tombstone {
		t.Fatalf("%v ends, which doesn't live", e.Tuple[Original])
	}
	m.same(t, f, e.Flow)
	if idle := time.Duration(m.now - f.last); e.Reason != Killed && idle < f.timeout() {
		t.Fatalf("%v %v ends %v after its last packet, %v early", f.state, f.a.Original, idle, f.timeout()-idle)
	}
	if e.Reason != Killed && e.Reason != f.reason() {
		t.Fatalf("%v %v ends for reason %v", f.state, f.a.Original, e.Reason)
	}
	reset := f.state == Established && (testRule[f.a.Rule].Reset || e.Reason == Killed)
	if e.Reset != reset {
		t.Fatalf("%v %v of rule %d ends with reset %v", f.state, f.a.Original, f.a.Rule, e.Reset)
	}
	m.live = slices.DeleteFunc(m.live, func(g *modelFlow) bool { return g == f })
	if !reset {
		m.remove(f)
		return
	}
	f.state, f.buried = Tombstone, m.now
	m.tombs = append(m.tombs, f)
}

// same compares all that the table tells of a flow.
func (m *model) same(t *rapid.T, f *modelFlow, got Flow) {
	want := Flow{
		ID: f.id, Tuple: [2]packet.Tuple{f.a.Original, f.reply()}, State: f.state,
		Rule: f.a.Rule, Owner: f.a.Owner, Inside: f.a.Inside, Created: f.created,
		LastSeen:  m.now - (millisecond(m.now)-millisecond(f.last))*int64(time.Millisecond),
		ExpiresIn: int64(f.timeout()) - (millisecond(m.now)-millisecond(f.last))*int64(time.Millisecond),
		Packets:   f.packets, Bytes: f.bytes,
		MaxEnd: f.next, MaxAck: f.told,
	}
	if got != want {
		t.Fatalf("flow\n got %+v\nwant %+v", got, want)
	}
}
