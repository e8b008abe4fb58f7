package packetio

import (
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	// slotLen holds the longest IPv4 packet with its virtio_net_hdr and Ethernet header.
	slotLen = 10 + 14 + 65535

	// slotStride is how far apart slots begin: a multiple of a cache line, and
	// an odd one, so that the headers of a batch spread over all sets of a cache.
	slotStride = (65536/64 + 3) * 64
)

// slots is memory for one batch of frames of any length, outside the Go heap:
// most of it is never touched.
type slots struct{ mem []byte }

func newSlots() (*slots, error) {
	mem, err := unix.Mmap(-1, 0, BatchSize*slotStride, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	// Fewer entries in the TLB; a kernel without huge pages does without.
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)
	s := &slots{mem: mem}
	// Not when the queue is closed: its last batch may still be looked at then.
	runtime.AddCleanup(s, func(mem []byte) { _ = unix.Munmap(mem) }, mem)
	return s, nil
}

// at returns the first n bytes of slot i.
func (s *slots) at(i, n int) []byte {
	begin := i * slotStride
	return s.mem[begin : begin+n : begin+slotLen]
}
