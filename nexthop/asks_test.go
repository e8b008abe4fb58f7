package nexthop

import (
	"sync"
	"testing"

	"tidegate/packet"
)

func TestAsksAreCoalesced(t *testing.T) {
	a := asks{wake: make(chan struct{}, 1)}
	count := func() map[packet.Addr]int {
		got := map[packet.Addr]int{}
		a.take(func(dst packet.Addr) { got[dst]++ })
		return got
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range packet.Addr(4000) {
				a.add(addr("10.0.0.1") + i%40)
			}
		})
	}
	wg.Wait()
	<-a.wake
	got := count()
	for dst, n := range got {
		if n > 2 { // two workers may put it in two slots at the same moment
			t.Errorf("%s taken %d times", dst, n)
		}
	}
	if len(got) != 40 || len(count()) != 0 {
		t.Errorf("%d destinations, then more", len(got))
	}
	a.add(addr("10.0.0.1"))
	if len(count()) != 0 {
		t.Error("asked twice in a second")
	}
	a.forget()
	a.add(addr("10.0.0.1"))
	if got := count(); len(got) != 1 || got[addr("10.0.0.1")] != 1 {
		t.Errorf("a second later: %v", got)
	}
}

func TestAsksAreBounded(t *testing.T) {
	a := asks{wake: make(chan struct{}, 1)}
	for i := range packet.Addr(1 << 20) {
		a.add(i)
	}
	n := 0
	a.take(func(packet.Addr) { n++ })
	if n == 0 || n > 1<<askBits {
		t.Errorf("%d asks", n)
	}
	if n := testing.AllocsPerRun(10, func() { a.add(7); a.take(func(packet.Addr) {}); a.forget() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
