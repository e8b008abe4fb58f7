package packetio

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TUNOptions says what to open.
type TUNOptions struct {
	Name   string // of the interface; the kernel chooses one for "", and a number for a %d in it
	Queues int    // how many goroutines read it; 0 is 1
}

// TUNQueue is one queue of a TUN interface. Its frames are IP packets behind a
// virtio_net_hdr, super-packets among them, or where the kernel refuses that
// (see Plain) packets with nothing before them.
//
// The kernel gives packets of a flow to the queue that last wrote one of it.
type TUNQueue struct {
	*port
	layout Layout
	plain  error
	lasts  bool // the interface, when its queues are closed
	mtu    int

	// The goroutine's in ReadBatch.
	in        *slots
	batch     [][]byte // what to fill, then what was filled
	errno     unix.Errno
	collector func(fd uintptr) bool
	checker   func() error

	// The goroutine's in WriteBatch.
	frames   [][]byte
	sent     int
	fault    error
	transmit func(fd uintptr)
}

// OpenTUN creates a TUN interface, or attaches to a persistent one, in the calling
// thread's network namespace, sets it up and returns its queues. It needs
// CAP_NET_ADMIN. The interface goes when the last of its queues is closed, unless
// it is persistent.
func OpenTUN(o TUNOptions) ([]*TUNQueue, error) {
	queues, err := openTUN(o, offloading)
	if refused := err; errors.Is(err, errors.ErrUnsupported) {
		queues, err = openTUN(o, plain)
		for _, q := range queues {
			q.plain = refused
		}
	}
	if err != nil {
		return nil, fmt.Errorf("packetio: open tun %s: %w", o.Name, tunRemedy(o.Name, err))
	}
	return queues, nil
}

// openTUN returns all queues or none.
func openTUN(o TUNOptions, opener tunOpener) (queues []*TUNQueue, err error) {
	defer func() {
		if err == nil {
			return
		}
		for _, q := range queues {
			err = errors.Join(err, q.Close())
		}
		queues = nil
	}()
	name := o.Name
	for range max(1, o.Queues) {
		q, err := openTUNQueue(opener, name, o.Queues > 1)
		if err != nil {
			return queues, err
		}
		queues = append(queues, q)
		name = q.name
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return queues, err
	}
	for _, q := range queues {
		q.mtu, q.lasts = link.Attrs().MTU, outlives(link)
	}
	return queues, netlink.LinkSetUp(link)
}

func openTUNQueue(opener tunOpener, name string, several bool) (*TUNQueue, error) {
	file, name, err := opener.open(name, several)
	if err != nil {
		return nil, err
	}
	port, err := newPort(name, file)
	if err != nil {
		return nil, err
	}
	q := &TUNQueue{port: port, layout: opener.layout}
	q.collector, q.checker, q.transmit = q.collect, q.check, q.sendAll // made once, as in newReceiver
	if q.in, err = newSlots(); err == nil {
		err = q.checkLater()
	}
	if err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return q, nil
}

// Name returns the interface's name.
func (q *TUNQueue) Name() string { return q.name }

// MTU returns the interface's MTU when it was opened, in bytes.
func (q *TUNQueue) MTU() int { return q.mtu }

// Layout returns what stands before the IP packet: a virtio_net_hdr, unless the
// queue is plain.
func (q *TUNQueue) Layout() Layout { return q.layout }

// Plain returns why the kernel refuses super-packets and unfinished checksums, nil
// if it does not: then each segment comes by itself, at a multiple of the cost.
func (q *TUNQueue) Plain() error { return q.plain }

// Stats returns what was lost so far. What arrived while the queue was full is
// not in it: the kernel counts that by interface (TX dropped).
func (q *TUNQueue) Stats() Stats { return q.stats() }

// Close ends the queue, and the ReadBatch that waits. A reader that has a batch
// keeps it. It is safe to call Close more than once, from any goroutine.
func (q *TUNQueue) Close() error {
	if q.lasts {
		_ = q.control(forgo) // fails on a queue that is closed, and an interface that is gone
	}
	return q.close(func() error { return nil })
}

// ReadBatch waits until there is a packet, and fills frames[:n] with what has
// arrived, at most BatchSize. Frames die at the next call.
func (q *TUNQueue) ReadBatch(frames [][]byte) (n int, err error) {
	q.batch = frames[:min(len(frames), BatchSize)]
	if err := q.read(q.collector, q.checker); err != nil {
		return 0, err
	}
	if len(q.batch) == 0 {
		return 0, q.fail("read", tunFault(q.errno))
	}
	return len(q.batch), nil
}

// collect fills the batch with what has arrived, and returns false if that is
// nothing. A batch of none says that errno is to blame.
func (q *TUNQueue) collect(fd uintptr) bool {
	n := 0
	for n < len(q.batch) {
		slot := q.in.at(n, slotLen)
		length, errno := transfer(unix.SYS_READ, fd, slot)
		if q.errno = errno; errno != 0 {
			break
		}
		q.batch[n] = slot[:length:length]
		n++
	}
	if n == 0 && q.errno == unix.EAGAIN {
		return false
	}
	q.batch = q.batch[:n]
	return true
}

// check returns an error if the interface is gone.
func (q *TUNQueue) check() error {
	return q.control(func(fd int) error {
		request, err := unix.NewIfreq(q.name)
		if err == nil {
			err = unix.IoctlIfreq(fd, unix.TUNGETIFF, request)
		}
		return tunFault(err)
	})
}

// tunFault names the cause of what a removed interface answers.
func tunFault(err error) error {
	if errors.Is(err, unix.EBADFD) || errors.Is(err, unix.EFAULT) {
		return ErrNoInterface
	}
	return err
}

// WriteBatch hands packets to the kernel, and returns how many it took. One that
// it refuses is counted by cause and skipped. err is not nil only when the queue
// is of no further use.
func (q *TUNQueue) WriteBatch(frames [][]byte) (sent int, err error) {
	q.frames, q.sent, q.fault = frames, 0, nil
	if err := q.write(q.transmit); err != nil {
		return 0, err
	}
	if q.fault != nil {
		return q.sent, q.fail("write", q.fault)
	}
	return q.sent, nil
}

func (q *TUNQueue) sendAll(fd uintptr) {
	for _, f := range q.frames {
		if _, errno := transfer(unix.SYS_WRITE, fd, f); errno == 0 {
			q.sent++
		} else if q.fault = q.refuse(errno); q.fault != nil {
			return
		}
	}
}

// transfer is read(2) or write(2), around the scheduler as in messages.transfer.
func transfer(call, fd uintptr, b []byte) (n int, err unix.Errno) {
	for {
		r, _, errno := unix.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if errno == 0 {
			return int(r), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}
