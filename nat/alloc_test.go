package nat_test

import (
	"testing"

	"tidegate/nat"
	"tidegate/packet"
)

// TestNoAllocations covers what each new flow costs, once a lease has been used.
func TestNoAllocations(t *testing.T) {
	for _, proto := range all {
		l, q := newLease(t, proto, 1024), newQuick()
		k := tuple(proto, member, 1, remote(1))
		if n := testing.AllocsPerRun(1000, func() {
			ext, _, ok := l.Allocate(&k, 0, q, 0)
			if !ok {
				t.Fatal("no port")
			}
			l.Hold(ext, k.SrcPort)
			l.Release(ext, k.SrcPort)
		}); n != 0 {
			t.Errorf("%v: %v allocations", proto, n)
		}
	}
}

// TestNoAllocationsInDistress: a member that finds no port costs no memory either.
func TestNoAllocationsInDistress(t *testing.T) {
	l, tr := newLease(t, packet.TCP, 64), newTracker()
	exhaust(t, l, tr, remote(1), 64, 0)
	k, now := tuple(packet.TCP, member, 1, remote(1)), int64(1<<40)
	if n := testing.AllocsPerRun(1000, func() {
		now += 1_000_000
		if _, _, ok := l.Allocate(&k, 0, tr, now); ok {
			t.Fatal("a port")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestFullIsForgotten has more destinations run full, one after the other, than a
// lease remembers.
func TestFullIsForgotten(t *testing.T) {
	l, tr := newLease(t, packet.TCP, 8), newTracker()
	for i := range 3000 {
		for _, f := range exhaust(t, l, tr, remote(i), 8, int64(i)) {
			tr.close(l, f)
		}
	}
	if _, _, ok := tr.open(l, tuple(packet.TCP, member, 1, remote(2999)), 1<<40); !ok {
		t.Error("no port")
	}
	if _, _, ok := tr.open(l, tuple(packet.TCP, member, 1, remote(0)), 3000); !ok {
		t.Error("no port for what was full long ago and has been forgotten")
	}
}

var _ nat.Tracker = (*quick)(nil)
