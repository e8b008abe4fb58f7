package nexthop

import (
	"sync/atomic"

	"tidegate/packet"
)

const (
	askBits  = 10 // 1024 destinations a second, the kernel's default for a full table (gc_thresh3)
	askReach = 8  // slots tried before a destination has to wait for the next second
)

// asks collects destinations whose neighbour is wanted, each once a second.
// Workers add without a lock; one goroutine takes and forgets.
type asks struct {
	slots [1 << askBits]atomic.Uint32
	taken [1 << askBits]uint32 // of the taker: what it has already seen in the slot
	wake  chan struct{}        // capacity 1
}

// add reports nothing: what finds no room is asked for with a later packet.
func (a *asks) add(dst packet.Addr) {
	at := spread(dst, askBits)
	for i := range uint32(askReach) {
		slot := &a.slots[(at+i)%(1<<askBits)]
		switch slot.Load() {
		case uint32(dst):
			return
		case 0:
			if slot.CompareAndSwap(0, uint32(dst)) {
				signal(a.wake)
				return
			}
		}
	}
}

// take calls f with what was added since the last take.
func (a *asks) take(f func(packet.Addr)) {
	for i := range a.slots {
		if v := a.slots[i].Load(); v != a.taken[i] {
			a.taken[i] = v
			f(packet.Addr(v))
		}
	}
}

// forget makes room: every destination may be added again.
func (a *asks) forget() {
	for i, v := range a.taken {
		if v != 0 && a.slots[i].CompareAndSwap(v, 0) {
			a.taken[i] = 0
		}
	}
}

// signal wakes the reader of a channel with capacity 1, now or when it looks.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
