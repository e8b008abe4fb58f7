package packetio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32 // bytes received
}

// messages is one batch for recvmmsg or sendmmsg, with one buffer each.
type messages struct {
	hdr [BatchSize]mmsghdr
	iov [BatchSize]unix.Iovec
}

func (m *messages) init() {
	for i := range m.hdr {
		m.hdr[i].Iov = &m.iov[i]
		m.hdr[i].SetIovlen(1)
	}
}

// transfer makes one recvmmsg or sendmmsg call that does not wait, for messages
// from to to, and returns how many it was done with.
//
// It bypasses the scheduler: an ordinary call wakes the runtime's monitor thread if
// all else sleeps, and one that lasts as long as a batch has it hand the processor
// to a thread with nothing to do. The price is that a stop of the world waits for
// the call, at most for one batch.
func (m *messages) transfer(call, fd uintptr, from, to int) (n int, err unix.Errno) {
	for {
		r, _, errno := unix.RawSyscall6(call, fd,
			uintptr(unsafe.Pointer(&m.hdr[from])), uintptr(to-from), unix.MSG_DONTWAIT, 0, 0)
		if errno == 0 {
			return int(r), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// inbox receives frames into slots.
type inbox struct {
	messages
	*slots
}

func newInbox() (*inbox, error) {
	s, err := newSlots()
	if err != nil {
		return nil, err
	}
	b := &inbox{slots: s}
	b.init()
	for i := range b.iov {
		b.iov[i].Base = &s.at(i, slotLen)[0]
		b.iov[i].SetLen(slotLen)
	}
	return b, nil
}

// receive fills slots from to to and returns how many were filled.
func (b *inbox) receive(fd uintptr, from, to int) (n int, err unix.Errno) {
	return b.transfer(unix.SYS_RECVMMSG, fd, from, to)
}

// frame returns what was received into slot i, nil if it did not fit.
func (b *inbox) frame(i int) []byte {
	if b.hdr[i].Flags&unix.MSG_TRUNC != 0 {
		return nil
	}
	return b.at(i, int(b.hdr[i].n))
}
