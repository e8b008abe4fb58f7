package conntrack

import (
	"testing"
	"time"

	"tidegate/packet"

	"pgregory.net/rapid"
)

// epochs are where the clock starts: its milliseconds wrap after 49.7 days, and
// their sign turns half-way.
var epochs = []time.Duration{
	0, 5 * time.Second, 1<<31*time.Millisecond - 40*time.Second, 1<<32*time.Millisecond - time.Minute,
	1<<32*time.Millisecond - 3*time.Second, 1<<34*time.Millisecond - 10*time.Minute,
}

// TestModel does at random what can be done with a Table and compares with model.
func TestModel(t *testing.T) {
	for _, epoch := range epochs {
		t.Run(epoch.String(), rapid.MakeCheck(func(t *rapid.T) {
			m := &model{
				room: rapid.IntRange(1, 16).Draw(t, "room"), now: int64(epoch),
				flows: make(map[packet.Tuple]*modelFlow),
			}
			m.table = newTable(t, m.room, m.now)
			t.Repeat(map[string]func(*rapid.T){
				"insert": m.insert, "insert another": m.insert, "insert a third": m.insert,
				"traffic": m.traffic, "more traffic": m.traffic, "still more traffic": m.traffic,
				"stranger": m.stranger, "kill": m.kill, "forget": m.forget, "pass": m.pass, "lookup": m.lookup,
				"": m.compare,
			})
		}))
	}
}

// lookup asks for a tuple that may or may not be there.
func (m *model) lookup(t *rapid.T) {
	a := drawAdmission(t)
	for _, k := range []packet.Tuple{a.Original, a.Original.Reverse(), a.Translated, a.Translated.Reverse()} {
		r, ok := m.table.Lookup(&k)
		f := m.flows[k]
		if ok != (f != nil) {
			t.Fatalf("Lookup %v: %v, want %v", k, ok, f != nil)
		}
		if ok && (r|1 != f.ref|1 || r.Direction() == Original != (k == f.a.Original)) {
			t.Fatalf("Lookup %v: Ref %d of flow %d", k, r, f.ref)
		}
	}
}

// compare holds everything the table says of itself against the model.
func (m *model) compare(t *rapid.T) {
	if m.table.Len() != len(m.live) || m.table.Cap() != m.room {
		t.Fatalf("%d flows of %d, want %d of %d", m.table.Len(), m.table.Cap(), len(m.live), m.room)
	}
	m.compareFlows(t)
	m.compareEach(t)
	m.compareCounts(t)
	for _, id := range m.gone {
		if _, ok := m.table.Find(id); ok {
			t.Fatalf("%x is gone and found", id)
		}
	}
}

func (m *model) compareFlows(t *rapid.T) {
	for k, f := range m.flows {
		r, ok := m.table.Lookup(&k)
		if !ok {
			t.Fatalf("%v %v is not found by %v", f.state, f.a.Original, k)
		}
		inside := f.a.Inside == (r.Direction() == Original)
		if m.table.State(r) != f.state || m.table.Rule(r) != f.a.Rule || m.table.FromInside(r) != inside {
			t.Fatalf("%v %v is %v, rule %d, inside %v", f.state, k, m.table.State(r), m.table.Rule(r), m.table.FromInside(r))
		}
		if *m.table.Rewrite(r) != f.rewrite(r.Direction()) {
			t.Fatalf("%v becomes %+v", k, *m.table.Rewrite(r))
		}
		found, ok := m.table.Find(f.id)
		if ok != (f.state != Tombstone) || ok && found != f.ref {
			t.Fatalf("Find %x, which is %v: %v", f.id, f.state, ok)
		}
		if f.state != Tombstone {
			m.same(t, f, m.table.Flow(r, m.now))
		}
	}
}

func (f *modelFlow) rewrite(d Direction) packet.Rewrite {
	if d == Original {
		return packet.NewRewrite(f.a.Original, f.a.Translated)
	}
	return packet.NewRewrite(f.a.Translated.Reverse(), f.a.Original.Reverse())
}

func (m *model) compareEach(t *rapid.T) {
	seen := make(map[Ref]bool)
	n := rapid.IntRange(1, 20).Draw(t, "slots")
	for from := uint32(0); ; {
		from = m.table.Each(from, n, func(r Ref) {
			if seen[r] {
				t.Fatalf("Each shows %d twice", r)
			}
			seen[r] = true
		})
		if from == 0 {
			break
		}
	}
	for _, f := range m.live {
		if !seen[f.ref] {
			t.Fatalf("Each doesn't show %v", f.a.Original)
		}
	}
	if len(seen) != len(m.live) {
		t.Fatalf("Each shows %d flows, want %d", len(seen), len(m.live))
	}
}

func (m *model) compareCounts(t *rapid.T) {
	want := make([]Counts, testRules)
	for _, f := range m.live {
		want[f.a.Rule][ProtocolIndex(f.a.Original.Proto)][f.state]++
	}
	for rule := range want {
		if got := m.table.Counts(uint16(rule)); got != want[rule] {
			t.Fatalf("Counts of rule %d: %v, want %v", rule, got, want[rule])
		}
	}
}
