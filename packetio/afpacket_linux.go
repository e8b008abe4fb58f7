package packetio

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

const (
	vnetLen  = 10 // struct virtio_net_hdr, as PACKET_VNET_HDR gives and takes it
	etherLen = 14
)

// PacketQueue is an AF_PACKET socket on one Ethernet interface.
type PacketQueue struct {
	*port
	tx *sender
	rx *receiver // nil in a queue that only writes
}

// Layout returns where the IP packet begins in frames of any PacketQueue.
func (q *PacketQueue) Layout() Layout { return Layout{Vnet: vnetLen, Link: etherLen} }

var errWriteOnly = errors.New("the queue is for writing only")

// ReadBatch waits until there is a frame, and fills frames[:n] with what has
// arrived, at most BatchSize. Frames die at the next call.
func (q *PacketQueue) ReadBatch(frames [][]byte) (n int, err error) {
	if q.rx == nil {
		return 0, q.fail("read", errWriteOnly)
	}
	q.rx.batch = frames[:min(len(frames), BatchSize)]
	err = q.read(q.rx.collector, q.rx.checker)
	if errors.Is(err, net.ErrClosed) {
		err = errors.Join(err, q.rx.free())
	}
	if err != nil {
		return 0, err
	}
	return len(q.rx.batch), nil
}

// WriteBatch hands frames to the kernel, and returns how many it took. One that it
// refuses is counted by cause and skipped: to wait for a device would stop the
// other direction too. err is not nil only when the queue is of no further use.
func (q *PacketQueue) WriteBatch(frames [][]byte) (sent int, err error) {
	q.tx.begin(frames)
	if err := q.write(q.tx.transmit); err != nil {
		return 0, err
	}
	if q.tx.fault != nil {
		return q.tx.sent, q.fail("write", q.tx.fault)
	}
	return q.tx.sent, nil
}

// Stats returns what was lost so far.
func (q *PacketQueue) Stats() Stats {
	// Reading sets the kernel's count back to zero; a closed queue has none.
	_ = q.control(func(fd int) error {
		s, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err == nil {
			q.dropped.Add(uint64(s.Drops))
		}
		return err
	})
	return q.stats()
}

// Close ends the queue, and the ReadBatch that waits. A reader that has a batch
// keeps it until its next ReadBatch, and the socket lives on until then. It is safe
// to call Close more than once, from any goroutine.
func (q *PacketQueue) Close() error {
	return q.close(func() error {
		if q.rx == nil || q.rx.used.Load() {
			return nil
		}
		return q.rx.free()
	})
}
