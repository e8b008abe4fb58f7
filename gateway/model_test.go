package gateway

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidegate/conntrack"
	"tidegate/nexthop"
)

// rapidTB lets a rig fail a property instead of the test around it.
type rapidTB struct {
	testing.TB
	property *rapid.T
}

func (t rapidTB) Helper()                        { t.property.Helper() }
func (t rapidTB) Error(args ...any)              { t.property.Error(args...) }
func (t rapidTB) Fatal(args ...any)              { t.property.Fatal(args...) }
func (t rapidTB) Errorf(format string, a ...any) { t.property.Errorf(format, a...) }
func (t rapidTB) Fatalf(format string, a ...any) { t.property.Fatalf(format, a...) }

// mappingModel is what RFC 4787 says of a member's UDP ports and ICMP
// identifiers, in the dumbest way: a list of who has spoken with whom through
// which external port, and when last.
type mappingModel struct {
	idle  time.Duration
	late  time.Duration // how much later a flow may end
	spoke map[contact]spoken
}

type contact struct{ internal, remote string }

type spoken struct {
	external uint16
	last     int64
}

func newMappingModel(idle time.Duration) *mappingModel {
	return &mappingModel{idle: idle, late: max(time.Second, idle/50), spoke: map[contact]spoken{}}
}

// alive and maybe: before the timeout a flow lives, until it is as late as it may
// be nobody knows.
func (m *mappingModel) alive(s spoken, now int64) bool { return now-s.last < int64(m.idle) }

func (m *mappingModel) maybe(s spoken, now int64) bool { return now-s.last <= int64(m.idle+m.late) }

// out is told what became of a packet from the inside.
func (m *mappingModel) out(t testing.TB, c contact, external uint16, now int64) {
	t.Helper()
	for other, s := range m.spoke {
		if !m.alive(s, now) {
			continue
		}
		if other.internal == c.internal && s.external != external {
			t.Errorf("%s leaves by port %d to %s, and by %d to %s", c.internal, external, c.remote, s.external, other.remote)
		}
		if other.internal != c.internal && s.external == external {
			t.Errorf("%s and %s share port %d", c.internal, other.internal, external)
		}
	}
	m.spoke[c] = spoken{external, now}
}

// refused is told of a packet for which there was no port, of so many.
func (m *mappingModel) refused(t testing.TB, c contact, ports int, now int64) {
	t.Helper()
	held := map[uint16]bool{}
	for other, s := range m.spoke {
		if other.internal == c.internal && m.alive(s, now) {
			t.Errorf("%s has port %d and was refused one", c.internal, s.external)
		}
		if hostOf(other.internal) == hostOf(c.internal) && m.maybe(s, now) {
			held[s.external] = true
		}
	}
	if len(held) < ports {
		t.Errorf("%s was refused a port while its member uses %d of %d", c.internal, len(held), ports)
	}
}

// in is told what became of a packet from a remote to an external port.
func (m *mappingModel) in(t testing.TB, remote string, external uint16, reached string, now int64) {
	t.Helper()
	may, must := false, ""
	for c, s := range m.spoke {
		if c.remote != remote || s.external != external {
			continue
		}
		if m.alive(s, now) {
			must = c.internal
		}
		if m.maybe(s, now) && c.internal == reached {
			may = true
			m.spoke[c] = spoken{external, now}
		}
	}
	if reached != must && !may {
		t.Errorf("a packet from %s to port %d reached %q, want %q", remote, external, reached, must)
	}
}

// consistent compares the ports that are counted as used with the list of flows,
// in which no tuple may come twice.
func (r *rig) consistent() {
	r.t.Helper()
	tuples := map[any]bool{}
	used := map[uint32]map[uint16]bool{}
	for _, f := range r.flows() {
		for _, tuple := range f.Tuple {
			if tuples[tuple] {
				r.t.Errorf("two flows have the tuple %v", tuple)
			}
			tuples[tuple] = true
		}
		if f.Owner == 0 {
			continue
		}
		if used[f.Owner] == nil {
			used[f.Owner] = map[uint16]bool{}
		}
		used[f.Owner][f.Tuple[conntrack.Reply].DstPort] = true
		if l := r.policy.Owner(f.Owner); l.Member != f.Tuple[0].Src || l.Protocol != f.Tuple[0].Proto {
			r.t.Errorf("flow %v is laid at the door of %v, %v", f.Tuple[0], l.Member, l.Protocol)
		}
	}
	for i, l := range r.policy.Leases() {
		if n := len(used[uint32(i+1)]); n != l.Used() {
			r.t.Errorf("%v counts %d %v ports in use, its flows have %d", l.Member, l.Used(), l.Protocol, n)
		}
	}
}

// kill ends all flows of one protocol of a member, and the model's with them.
func (m *mappingModel) forget(member string) {
	for c := range m.spoke {
		if hostOf(c.internal) == member {
			delete(m.spoke, c)
		}
	}
}

// ownedBy says whether a port of the frontend is one of the member's.
func (r *rig) ownedBy(external, member string) bool {
	for _, l := range r.policy.Leases() {
		counts := LeaseCounts{Blocks: l.Blocks}
		if l.Member.String() == member && counts.owns(external) {
			return true
		}
	}
	return false
}

var bothSides = []nexthop.Side{nexthop.Inside, nexthop.Outside}
