package nexthop

import (
	"testing"

	"pgregory.net/rapid"

	"tidegate/packet"
)

// paper is a Snapshot with a default route by way of a gateway, a link and a hole.
func paper() *Snapshot {
	legs := []leg{{Outside, 1500}, {Inside, 9000}}
	s := &Snapshot{links: [sides]Link{{Up: true}, {Up: true}}, hops: map[hopKey]*Hop{}}
	s.routes = routes{legs: legs, spans: flatten([]route{
		{start: 0, bits: 0, to: target{status: Resolved, leg: 0, gateway: addr("203.0.113.254")}},
		{start: addr("10.0.0.0"), bits: 24, to: target{status: Resolved, leg: 1}},
		{start: addr("192.0.2.0"), bits: 24, to: target{status: Elsewhere}},
	})}
	know := func(leg uint16, a string, n neighbour) {
		key := neighbourKey{legs[leg].side, addr(a)}
		s.hops[keyOf(leg, key.addr)] = newHop(legs[leg], []byte{2, 0, 0, 0, 0, 1}, key, n)
	}
	know(0, "203.0.113.254", neighbour{mac: mac{2, 0, 0, 0, 0, 9}, state: fresh})
	know(1, "10.0.0.10", neighbour{mac: mac{2, 0, 0, 0, 0, 10}, state: stale})
	know(1, "10.0.0.99", neighbour{state: failed})
	return s
}

var paperStatus = map[string]Status{"8.8.8.8": Resolved, "10.0.0.10": Resolved, "10.0.0.11": Unresolved,
	"10.0.0.99": Unreachable, "192.0.2.1": Elsewhere, "0.0.0.0": Resolved, "255.255.255.255": Resolved}

func TestLookup(t *testing.T) {
	s := paper()
	for a, want := range paperStatus {
		if h, got := s.Lookup(addr(a)); got != want || (h != nil) != (want == Resolved) {
			t.Errorf("%s: %v %v, want %v", a, h, got, want)
		}
	}
	h, _ := s.Lookup(addr("8.8.8.8"))
	if want := [EtherLen]byte{2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0}; h.Ether != want || h.MTU != 1500 || h.Side != Outside {
		t.Errorf("hop %x %d %v", h.Ether, h.MTU, h.Side)
	}
	s.routes = routes{spans: []span{{}}}
	if _, got := s.Lookup(1); got != NoRoute {
		t.Errorf("no routes: %v", got)
	}
	s.links[Outside].Up = false
	if _, got := s.Lookup(1); got != Unreachable {
		t.Errorf("no routes and a link down: %v", got)
	}
}

// TestLookupMarks: what is looked up, and found, silent or not, counts as used.
func TestLookupMarks(t *testing.T) {
	s, c := paper(), new(Cache)
	for _, lookup := range []func(packet.Addr) (*Hop, Status){s.Lookup,
		func(a packet.Addr) (*Hop, Status) { return c.Lookup(s, a) },
		func(a packet.Addr) (*Hop, Status) { return c.Lookup(s, a) }} {
		for _, h := range s.hops {
			h.used.Store(false)
		}
		lookup(addr("10.0.0.10"))
		lookup(addr("10.0.0.99"))
		for key, h := range s.hops {
			if want := h.Neighbour != addr("203.0.113.254"); h.used.Load() != want {
				t.Errorf("%x used: %v", key, !want)
			}
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	s, c := paper(), new(Cache)
	for a := range paperStatus {
		dst := addr(a)
		if n := testing.AllocsPerRun(100, func() { s.Lookup(dst); c.Lookup(s, dst); s.Carried(dst) }); n != 0 {
			t.Errorf("%s: %v allocations", a, n)
		}
	}
}

// TestCacheAgrees: with whatever Snapshot in whatever order, the cache says what
// the Snapshot says. The addresses collide in the cache.
func TestCacheAgrees(t *testing.T) {
	other := paper()
	other.hops = map[hopKey]*Hop{}
	third := paper()
	rapid.Check(t, func(t *rapid.T) {
		var c Cache
		for range rapid.IntRange(1, 200).Draw(t, "lookups") {
			s := rapid.SampledFrom([]*Snapshot{third, other}).Draw(t, "snapshot")
			dst := packet.Addr(rapid.SampledFrom([]uint32{0, 0x0a000000, 0xc0000200, 0x08000000}).Draw(t, "net") | rapid.Uint32Range(0, 0x7ff).Draw(t, "host"))
			want, status := s.Lookup(dst)
			if got, st := c.Lookup(s, dst); got != want || st != status {
				t.Fatalf("%s: %v %v, want %v %v", dst, got, st, want, status)
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	s, c := paper(), new(Cache)
	for i := range uint32(1000) { // as many routes as a branch office has at most
		s.routes.spans = append(s.routes.spans, span{start: packet.Addr(0xc1000000 + i<<12), to: target{status: Elsewhere, gateway: packet.Addr(i)}})
	}
	b.Run("snapshot", func(b *testing.B) {
		for i := range b.N {
			s.Lookup(packet.Addr(0x08000000 + i&0xff))
		}
	})
	b.Run("cache", func(b *testing.B) {
		for i := range b.N {
			c.Lookup(s, packet.Addr(0x08000000+i&0xff))
		}
	})
}
