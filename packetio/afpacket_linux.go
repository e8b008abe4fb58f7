package packetio

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

const (
	vnetLen  = 10 // struct virtio_net_hdr, as PACKET_VNET_HDR gives and takes it
	etherLen = 14
)

// PacketQueue is an AF_PACKET socket on one Ethernet interface.
type PacketQueue struct {
	*port
	out *outbox // the goroutine's in WriteBatch

	// The goroutine's in ReadBatch; nil in a queue that only writes.
	ring  *ring
	in    *inbox         // for frames too long for the ring
	later [BatchSize]int // where in the batch those belong
}

// Layout returns where the IP packet begins in frames of any PacketQueue.
func (q *PacketQueue) Layout() Layout { return Layout{Vnet: vnetLen, Link: etherLen} }

// Close ends the queue. Frames of the last batch stay readable, and die with the
// queue. It is safe to call more than once, from any goroutine.
func (q *PacketQueue) Close() error {
	return q.shut(func() error {
		if q.ring == nil {
			return nil
		}
		return q.ring.detach()
	})
}

// Stats returns what was lost so far.
func (q *PacketQueue) Stats() Stats {
	if q.enter() == nil {
		defer q.leave()
		// Reading sets the kernel's count back to zero.
		if s, err := unix.GetsockoptTpacketStats(q.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			q.dropped.Add(uint64(s.Drops))
		}
	}
	return q.stats()
}

var errWriteOnly = errors.New("the queue is for writing only")

// ReadBatch waits until there is a frame, and fills frames[:n] with what has
// arrived, at most BatchSize. Frames die at the next call.
func (q *PacketQueue) ReadBatch(frames [][]byte) (n int, err error) {
	if q.ring == nil {
		return 0, q.fail("read", errWriteOnly)
	}
	if err := q.enter(); err != nil {
		return 0, q.fail("read", err)
	}
	defer q.leave()
	frames = frames[:min(len(frames), BatchSize)]
	for {
		q.ring.release()
		if n := q.collect(frames); n > 0 {
			return n, nil
		}
		if err := q.await(); err != nil {
			return 0, q.fail("read", err)
		}
	}
}

// collect fills frames with what is there, maybe nothing.
func (q *PacketQueue) collect(frames [][]byte) (n int) {
	later := 0
	for n < len(frames) {
		what, frame := q.ring.take()
		switch what {
		case nothing:
			return q.fetch(frames[:n], q.later[:later])
		case lost:
			q.truncated.Add(1)
			continue
		case large:
			q.later[later] = n
			later++
		}
		frames[n] = frame
		n++
	}
	return q.fetch(frames, q.later[:later])
}

// fetch receives the large frames to where they belong in the batch, and returns
// the batch's length without those that could not be had.
func (q *PacketQueue) fetch(frames [][]byte, later []int) int {
	if len(later) == 0 {
		return len(frames)
	}
	got := 0
	for got < len(later) {
		n, errno := q.in.receive(q.fd, got, len(later))
		got += n
		if errno == unix.ENETDOWN { // stands before what is queued
			q.linkDowns.Add(1)
		} else if errno != 0 {
			break
		}
	}
	for i := range got {
		frames[later[i]] = q.in.frame(i)
	}
	whole := slices.DeleteFunc(frames, func(f []byte) bool { return f == nil })
	q.truncated.Add(uint64(len(frames) - len(whole)))
	return len(whole)
}

// removalCheck is how often a waiting reader looks if its interface is still
// there: of a removed one the kernel only says that it is down.
const removalCheck = time.Second

// await waits until there may be something to collect.
func (q *PacketQueue) await() error {
	events, err := q.wait(removalCheck)
	switch {
	case err != nil:
		return err
	case events&unix.POLLERR != 0:
		return q.socketError()
	case events == 0 && q.removed():
		return ErrNoInterface
	}
	return nil
}

// socketError takes the socket's pending error. That of a link that went down
// passes: the kernel goes on filling the ring when it is up again.
func (q *PacketQueue) socketError() error {
	errno, err := unix.GetsockoptInt(q.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return err
	case errno == int(unix.ENETDOWN):
		q.linkDowns.Add(1)
	case errno != 0:
		return unix.Errno(errno)
	}
	return nil
}

// removed says whether the kernel has unbound the socket from its interface.
func (q *PacketQueue) removed() bool {
	sa, err := unix.Getsockname(q.fd)
	return err == nil && sa.(*unix.SockaddrLinklayer).Ifindex < 0
}
