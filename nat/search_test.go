package nat_test

import (
	"testing"
	"time"

	"tidegate/nat"
	"tidegate/packet"
)

// TestPortsForOneDestination uses a lease up for one destination, which leaves it
// whole for another (RFC 5382 §4), and again after the first flows are over.
func TestPortsForOneDestination(t *testing.T) {
	for _, ports := range []int{8, 64, 1024, 64000} {
		l, tr := newLease(t, packet.TCP, ports), newTracker()
		now := int64(0)
		for i := range 2 {
			flows := exhaust(t, l, tr, remote(i), ports, now)
			if l.Used() != ports || l.Failed != uint64(i+1) || l.Opened() != uint64((i+1)*ports+i) {
				t.Fatalf("used %d, failed %d, opened %d", l.Used(), l.Failed, l.Opened())
			}
			tr.close(l, flows[ports/3])
			now += int64(time.Second)
			f, evicted, ok := tr.open(l, tuple(packet.TCP, member, 9, remote(i)), now)
			if !ok || evicted || f.ext != flows[ports/3].ext {
				t.Fatalf("%d ports, one given back, %v: got %v %v", ports, flows[ports/3].ext, f.ext, ok)
			}
		}
	}
}

// exhaust opens flows to one destination until there is no port, after exactly n.
func exhaust(t testing.TB, l *nat.Lease, tr *tracker, to nat.Endpoint, n int, now int64) (flows []flow) {
	t.Helper()
	seen := make(map[nat.Endpoint]bool)
	for i := range n {
		f, evicted, ok := tr.open(l, tuple(packet.TCP, member, uint16(i), to), now)
		if !ok || evicted || seen[f.ext] {
			t.Fatalf("flow %d of %d: %v, evicted %v, ok %v, seen %v", i, n, f.ext, evicted, ok, seen[f.ext])
		}
		seen[f.ext] = true
		flows = append(flows, f)
	}
	if f, _, ok := tr.open(l, tuple(packet.TCP, member, uint16(n), to), now); ok {
		t.Fatalf("flow %d of %d: %v", n, n, f.ext)
	}
	if l.Refused != to {
		t.Fatalf("the last refused wanted to go to %v, not %v", to, l.Refused)
	}
	return flows
}

// TestPortsAreRandom: RFC 6056 wants the next port to be hard to guess.
func TestPortsAreRandom(t *testing.T) {
	seen := make(map[nat.Endpoint]bool)
	for range 100 {
		l, tr := newLease(t, packet.TCP, 64000), newTracker()
		f, _, _ := tr.open(l, tuple(packet.TCP, member, 1, remote(1)), 0)
		seen[f.ext] = true
		l = newLease(t, packet.UDP, 64000)
		f, _, _ = tr.open(l, tuple(packet.UDP, member, 1, remote(1)), 0)
		seen[f.ext] = true
	}
	if len(seen) < 190 { // 200 draws of 64,000 are as good as different
		t.Errorf("only %d of 200 first ports differ", len(seen))
	}
}

// TestEvict: where no port is unused a spent one is taken, and one that is unused
// is as good.
func TestEvict(t *testing.T) {
	const ports = 1024
	l, tr := newLease(t, packet.TCP, ports), newTracker()
	flows := exhaust(t, l, tr, remote(1), ports, 0)
	now := int64(time.Second)
	tr.flows[flows[7].reply()] = true
	f, evicted, ok := tr.open(l, tuple(packet.TCP, member, 5000, remote(1)), now)
	if !ok || !evicted || f.ext != flows[7].ext || l.Used() != ports {
		t.Errorf("port %v, evicted %v, ok %v, %d used; %v is spent", f.ext, evicted, ok, l.Used(), flows[7].ext)
	}
	if _, _, ok := tr.open(l, tuple(packet.TCP, member, 5001, remote(1)), now+int64(time.Second)); ok {
		t.Error("it was not in use again")
	}
}

// TestUnusedBeforeSpent: the hold of a flow that is over is only cut short in need.
func TestUnusedBeforeSpent(t *testing.T) {
	const ports = 1024
	l, tr := newLease(t, packet.TCP, ports), newTracker()
	for i := range ports - 1 {
		f, evicted, ok := tr.open(l, tuple(packet.TCP, member, uint16(i), remote(1)), 0)
		if !ok || evicted {
			t.Fatalf("flow %d: evicted %v, ok %v", i, evicted, ok)
		}
		tr.flows[f.reply()] = true
	}
	if _, evicted, ok := tr.open(l, tuple(packet.TCP, member, ports, remote(1)), 0); !ok || evicted {
		t.Errorf("one port is unused: evicted %v, ok %v", evicted, ok)
	}
}

// TestSearchCost bounds what members in distress can make the gateway do: that
// many questions to the flow table, each some 0.1 µs, in a second.
func TestSearchCost(t *testing.T) {
	const (
		ports  = 1024
		budget = int(time.Second / 10_000) // a look for every 10 µs: a hundredth of a core
	)
	for _, c := range []struct {
		name   string
		full   int // destinations in full use
		spent  bool
		budget int
	}{
		{"one full destination", 1, false, budget},
		{"two full destinations in turn", 2, false, budget},
		{"twenty full destinations in turn", 20, false, budget},
		{"all flows to it are over", 1, true, 100 * 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, tr := newLease(t, packet.TCP, ports), newTracker()
			for i := range c.full {
				exhaust(t, l, tr, remote(i), ports, 0)
			}
			for k := range tr.flows {
				tr.flows[k] = c.spent
			}
			tr.asked = 0
			knock(t, l, tr, c.full, c.spent)
			if limit := c.budget + c.full*ports; tr.asked > limit {
				t.Errorf("%d questions, want at most %d", tr.asked, limit)
			}
		})
	}
}

// knock sends 1,000 SYNs within a second, all of which find a port or none.
func knock(t *testing.T, l *nat.Lease, tr *tracker, destinations int, want bool) {
	t.Helper()
	for i := range 1000 {
		now := int64(time.Second) + int64(i)*int64(time.Millisecond)
		f, _, ok := tr.open(l, tuple(packet.TCP, member, uint16(i), remote(i%destinations)), now)
		if ok != want {
			t.Fatalf("SYN %d: %v", i, ok)
		}
		if ok {
			tr.flows[f.reply()] = true
		}
	}
}

// TestSearchIsShort: a search meets ports in use as often as there are such, and
// not in runs; where no port has a flow there is nothing to ask.
func TestSearchIsShort(t *testing.T) {
	const ports, searches = 64000, 200
	l, q := newLease(t, packet.TCP, ports), newQuick()
	for i := range ports {
		q.take(l, tuple(packet.TCP, member, uint16(i), remote(1)))
	}
	if most := ports * 20; q.asked > most { // Σ ports/free is about ports × ln(ports) = 11 × ports
		t.Errorf("%d questions to fill %d ports, want at most %d", q.asked, ports, most)
	}
	*q = *newQuick()
	for range ports * 95 / 100 {
		q.take(l, tuple(packet.TCP, member, 1, remote(2)))
	}
	q.asked = 0
	for range searches {
		k := tuple(packet.TCP, member, 1, remote(2))
		l.Allocate(&k, 0, q, 0)
	}
	if mean := q.asked / searches; mean > 30 { // 20 are expected, and a mean of 200 is off by 1.4
		t.Errorf("%d questions a search with 95 %% in use", mean)
	}
	fresh, q := newLease(t, packet.TCP, 8), newQuick()
	if q.take(fresh, tuple(packet.TCP, member, 1, remote(1))); q.asked != 0 {
		t.Errorf("%d questions about ports without a flow", q.asked)
	}
}

// TestPauseIsForTheFull: a destination that is full does not stand in the way of
// others, nor of itself once the pause is over.
func TestPauseIsForTheFull(t *testing.T) {
	const ports, pause = 1024, 1024 * 10_000
	l, tr := newLease(t, packet.TCP, ports), newTracker()
	flows := exhaust(t, l, tr, remote(1), ports, 0)
	for i := range ports {
		if _, _, ok := tr.open(l, tuple(packet.TCP, member, uint16(i), remote(2)), 0); !ok {
			t.Fatalf("flow %d to another destination fails", i)
		}
	}
	tr.close(l, flows[0])
	if _, _, ok := tr.open(l, tuple(packet.TCP, member, 5000, remote(1)), pause); !ok {
		t.Error("a port was given back, the pause is over, and there is none")
	}
	if _, _, ok := tr.open(l, tuple(packet.TCP, member, 5001, remote(1)), pause); ok {
		t.Error("there is one too many")
	}
}

// TestNoneStarves: a destination that was full long ago is searched for at once,
// however hard others are knocked on.
func TestNoneStarves(t *testing.T) {
	l, tr := newLease(t, packet.TCP, 64), newTracker()
	flows := exhaust(t, l, tr, remote(1), 64, 0)
	exhaust(t, l, tr, remote(2), 64, 0)
	tr.close(l, flows[0])
	for now := int64(0); now < int64(time.Second); now += 1000 {
		if _, _, ok := tr.open(l, tuple(packet.TCP, member, 100, remote(2)), now); ok {
			t.Fatal("a port too many")
		}
	}
	if _, _, ok := tr.open(l, tuple(packet.TCP, member, 100, remote(1)), int64(time.Second)); !ok {
		t.Error("no port where one was given back a second ago")
	}
}

// TestFrontendsInOrder uses up the first frontend of a rule before the next.
func TestFrontendsInOrder(t *testing.T) {
	const first = 64000
	p := policy(t, nil, []nat.OutboundRule{egress([]packet.Addr{second, public}, members(1), 96000)}, nil)
	for _, l := range p.Leases() {
		tr := newTracker()
		for i := range first + 20 {
			f, _, ok := tr.open(l, tuple(l.Protocol, member, uint16(i), remote(1)), 0)
			if !ok || f.ext.Addr == second != (i < first) {
				t.Fatalf("%v flow %d: %v, %v", l.Protocol, i, f.ext, ok)
			}
		}
	}
}
