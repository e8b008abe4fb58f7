package packetio

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// receiver is the reading half of a PacketQueue, the goroutine's in ReadBatch.
type receiver struct {
	*port
	*ring
	in    *inbox // for frames too long for the ring
	later [BatchSize]int

	used      atomic.Bool // a reader has had a batch, and comes back for the next
	freed     sync.Once
	batch     [][]byte // what to fill, then what was filled
	collector func(fd uintptr) bool
	checker   func() error
}

func newReceiver(p *port) (r *receiver, err error) {
	r = &receiver{port: p}
	// Made once: made for each call, they would be garbage each time.
	r.collector, r.checker = r.collect, r.check
	if r.in, err = newInbox(); err != nil {
		return nil, fmt.Errorf("receive memory: %w", err)
	}
	if err := p.checkLater(); err != nil {
		return nil, err
	}
	// Last, as it is what has to be given back.
	if err := p.control(func(fd int) error { r.ring, err = newRing(fd); return err }); err != nil {
		return nil, err
	}
	return r, nil
}

// collect fills the batch with what has arrived, and returns false if that is
// nothing.
func (r *receiver) collect(fd uintptr) bool {
	r.release()
	n, later := 0, 0
	for n < len(r.batch) {
		what, frame := r.take()
		if what == nothing {
			break
		}
		if what == lost {
			r.truncated.Add(1)
			continue
		}
		if what == large {
			r.later[later] = n
			later++
		}
		r.batch[n] = frame
		n++
	}
	if later > 0 {
		n = r.fetch(fd, r.batch[:n], r.later[:later])
	}
	if n == 0 {
		return false
	}
	r.batch = r.batch[:n]
	r.used.Store(true)
	return true
}

// free gives the ring back, and with it the socket, once there is no more reading.
func (r *receiver) free() (err error) {
	r.freed.Do(func() { err = r.ring.free() })
	return err
}

// fetch receives the large frames to where they belong in the batch, and returns
// the batch's length without those that could not be had.
func (r *receiver) fetch(fd uintptr, frames [][]byte, later []int) int {
	got := 0
	for got < len(later) {
		n, errno := r.in.receive(fd, got, len(later))
		got += n
		if errno != 0 && errno != unix.ENETDOWN { // which stands before what came before it
			break
		}
	}
	for i := range got {
		frames[later[i]] = r.in.frame(i)
	}
	whole := slices.DeleteFunc(frames, func(f []byte) bool { return f == nil })
	r.truncated.Add(uint64(len(frames) - len(whole)))
	return len(whole)
}

// check returns an error if the socket has no interface any more. A link that
// is down passes: the kernel goes on filling the ring when it is up again.
func (r *receiver) check() error {
	return r.control(func(fd int) error {
		bound, err := unix.Getsockname(fd)
		if err == nil && bound.(*unix.SockaddrLinklayer).Ifindex < 0 {
			err = ErrNoInterface
		}
		return err
	})
}
