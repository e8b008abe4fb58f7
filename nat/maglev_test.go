package nat_test

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"

	"tidegate/nat"
	"tidegate/packet"
)

// slots reads a table of that many slots through Choose: the least hash of each.
func slots(t *testing.T, m *nat.Maglev, size int) (owners []packet.Addr) {
	t.Helper()
	for i := range size {
		hash, _ := bits.Div64(uint64(i), uint64(size-1), uint64(size))
		a, ok := m.Choose(hash)
		if !ok {
			t.Fatalf("slot %d is empty", i)
		}
		owners = append(owners, a)
	}
	return owners
}

func count(all []packet.Addr) map[packet.Addr]int {
	n := map[packet.Addr]int{}
	for _, a := range all {
		n[a]++
	}
	return n
}

// TestMaglevSlots: every slot has an owner, and since all take turns no backend
// has more than one slot more than another.
func TestMaglevSlots(t *testing.T) {
	for _, c := range []struct{ backends, size int }{
		{1, 65537}, {2, 65537}, {10, 65537}, {655, 65537}, {656, 1048573}, {1000, 1048573}, {12000, 1048573},
	} {
		owners := count(slots(t, nat.NewMaglev(members(c.backends), c.backends), c.size))
		if len(owners) != c.backends {
			t.Errorf("%d of %d backends have slots", len(owners), c.backends)
		}
		for a, n := range owners {
			if n != c.size/c.backends && n != c.size/c.backends+1 {
				t.Errorf("%v has %d of %d slots, one of %d backends", a, n, c.size, c.backends)
			}
		}
	}
}

func TestMaglevWithoutBackends(t *testing.T) {
	for _, hash := range []uint64{0, 1, 1 << 63, ^uint64(0)} {
		if a, ok := nat.NewMaglev(nil, 10).Choose(hash); ok {
			t.Errorf("hash %x goes to %v", hash, a)
		}
	}
}

// crowds are flows as they come: at random, and in the rows in which clients and
// kernels number themselves.
var crowds = []struct {
	name string
	all  bool // differ in their clients, so that every distribution spreads them
	flow func(i uint32) packet.Tuple
}{
	{"random", true, func(uint32) packet.Tuple {
		t := tuple(packet.TCP, packet.Addr(rand.Uint32()), uint16(rand.Uint32()), nat.Endpoint{Addr: public, Port: uint16(rand.Uint32())})
		if rand.IntN(2) == 0 {
			t.Proto = packet.UDP
		}
		return t
	}},
	{"one client after the other", true, func(i uint32) packet.Tuple {
		return tuple(packet.TCP, 0xc0000200+packet.Addr(i), 40000, nat.Endpoint{Addr: public, Port: 443})
	}},
	{"the first of every network", true, func(i uint32) packet.Tuple {
		return tuple(packet.TCP, packet.Addr(i<<14|1), 40000, nat.Endpoint{Addr: public, Port: 443})
	}},
	{"one client's ports, at two addresses", false, func(i uint32) packet.Tuple {
		return tuple(packet.TCP, 0xc0000200+packet.Addr(i&1), uint16(i>>1), nat.Endpoint{Addr: public, Port: 443})
	}},
	{"one client to many ports, at two addresses", false, func(i uint32) packet.Tuple {
		return tuple(packet.UDP, 0xc0000200+packet.Addr(i&1), 40000, nat.Endpoint{Addr: public, Port: uint16(i >> 1)})
	}},
}

var distributions = map[string]nat.Distribution{"Default": nat.FiveTuple, "SourceIP": nat.TwoTuple, "SourceIPProtocol": nat.ThreeTuple}

// balanced is a rule over a pool of those backends.
func balanced(d nat.Distribution, backends []packet.Addr) *nat.InboundRule {
	p := &nat.Pool{Name: "vms"}
	for _, b := range backends {
		p.Backends = append(p.Backends, nat.Backend{Addr: b})
	}
	p.Spread(nat.NewMaglev(p.Eligible(nil), len(p.Backends)))
	return &nat.InboundRule{
		Rule: 4, Name: "web", Protocol: packet.TCP, Distribution: d, Pool: p,
		Frontend: nat.Endpoint{Addr: public, Port: 443}, Backend: nat.Endpoint{Port: 8443},
	}
}

func choose(t *testing.T, r *nat.InboundRule, k packet.Tuple) packet.Addr {
	t.Helper()
	to, ok := r.Choose(&k)
	if !ok {
		t.Fatalf("%v goes nowhere", k)
	}
	return to.Addr
}

func TestShares(t *testing.T) {
	const flows, backends = 100_000, 10
	for _, crowd := range crowds {
		for name, d := range distributions {
			if !crowd.all && d != nat.FiveTuple {
				continue
			}
			r, n := balanced(d, members(backends)), map[packet.Addr]int{}
			for i := range uint32(flows) {
				n[choose(t, r, crowd.flow(i))]++
			}
			for _, a := range members(backends) {
				if share := float64(n[a]) * backends / flows; share < 0.85 || share > 1.15 {
					t.Errorf("%s, %s: %v gets %.3f of its share", crowd.name, name, a, share)
				}
			}
		}
	}
}

// TestSharesOfMany: with a thousand backends each has 131 or 132 slots, and of a
// million flows 1,000 ± 32; six times that is beyond chance.
func TestSharesOfMany(t *testing.T) {
	const flows, backends = 1_000_000, 1000
	r, n := balanced(nat.FiveTuple, members(backends)), map[packet.Addr]int{}
	for range flows {
		n[choose(t, r, crowds[0].flow(0))]++
	}
	for _, a := range members(backends) {
		if n[a] < 800 || n[a] > 1200 {
			t.Errorf("%v got %d of %d flows", a, n[a], flows)
		}
	}
}

// TestOneBackendLess takes each of ten away, and of more one in the middle, which
// read backwards is one more.
func TestOneBackendLess(t *testing.T) {
	for _, c := range []struct{ backends, size, moved int }{ // permille of the slots that were not its own
		{2, 65537, 0}, {3, 65537, 20}, {10, 65537, 20}, {100, 65537, 30}, {656, 1048573, 40}, {1000, 1048573, 50},
	} {
		all := members(c.backends)
		before := slots(t, nat.NewMaglev(all, len(all)), c.size)
		for gone := range all {
			if c.backends > 10 && gone != c.backends/2 {
				continue
			}
			rest := append(append([]packet.Addr(nil), all[:gone]...), all[gone+1:]...)
			after, moved := slots(t, nat.NewMaglev(rest, len(all)), c.size), 0
			for i := range before {
				if before[i] != all[gone] && before[i] != after[i] {
					moved++
				}
			}
			if 1000*moved > c.moved*(c.size-c.size/c.backends) {
				t.Errorf("without %v, one of %d, %d of %d slots move", all[gone], c.backends, moved, c.size)
			}
		}
	}
}

// TestFlowsMoved is the same in flows: ten backends, 100,000 random flows.
func TestFlowsMoved(t *testing.T) {
	all, moved, others := members(10), 0, 0
	ten, nine := balanced(nat.FiveTuple, all), balanced(nat.FiveTuple, all[1:])
	for range 100_000 {
		k := crowds[0].flow(0)
		was := choose(t, ten, k)
		if was == all[0] {
			continue
		}
		others++
		if choose(t, nine, k) != was {
			moved++
		}
	}
	if moved*50 > others {
		t.Errorf("%d of %d flows moved that were not its own", moved, others)
	}
}

// TestChoiceIsTheSameEverywhere: in whatever order the backends come, as often as
// the table is made.
func TestChoiceIsTheSameEverywhere(t *testing.T) {
	all := members(37)
	mixed := append(append([]packet.Addr(nil), all...), all[:5]...)
	rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	one, other := balanced(nat.FiveTuple, all), balanced(nat.FiveTuple, mixed)
	for range 10_000 {
		k := crowds[0].flow(0)
		if a, b := choose(t, one, k), choose(t, other, k); a != b {
			t.Fatalf("%v goes to %v, or to %v when they are listed otherwise", k, a, b)
		}
	}
}

// TestChoiceNeverChanges: who restarts the gateway, or puts a newer one beside it,
// finds every client at its backend.
func TestChoiceNeverChanges(t *testing.T) {
	k := tuple(packet.TCP, 0xc0000242, 6666, nat.Endpoint{Addr: public, Port: 443})
	for name, want := range map[string]string{"Default": "10.0.0.137", "SourceIP": "10.0.0.163", "SourceIPProtocol": "10.0.0.40"} {
		if got := choose(t, balanced(distributions[name], members(250)), k).String(); got != want {
			t.Errorf("%s: %v goes to %s, and went to %s", name, k, got, want)
		}
	}
}

func TestChooseAllocatesNothing(t *testing.T) {
	r, k := balanced(nat.FiveTuple, members(1000)), crowds[0].flow(0)
	if n := testing.AllocsPerRun(100, func() { r.Choose(&k) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkChoose is a new flow's backend, from tuple to address. Each waits for
// the one before it, and none is near it in the table.
func BenchmarkChoose(b *testing.B) {
	for _, backends := range []int{10, 1000} {
		b.Run(fmt.Sprint(backends), func(b *testing.B) {
			b.ReportAllocs()
			r, k := balanced(nat.FiveTuple, members(backends)), crowds[0].flow(0)
			for b.Loop() {
				to, ok := r.Choose(&k)
				if !ok {
					b.Fatal("nowhere")
				}
				k.Src += to.Addr
			}
		})
	}
}
