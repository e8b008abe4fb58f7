package packetio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TUNOptions says what to open.
type TUNOptions struct {
	Name   string // of the interface; the kernel chooses one for "", and a number for a %d in it
	Queues int    // how many goroutines read it; 0 is 1
}

// TUNQueue is one queue of a TUN interface. Its frames are IP packets with nothing
// before them, and super-packets never among them: water opens interfaces
// without IFF_VNET_HDR.
//
// The kernel gives packets of a flow to the queue that last wrote one of it.
type TUNQueue struct {
	*port
	mtu int

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
	queues, err := openTUN(o)
	if err != nil {
		for _, q := range queues {
			err = errors.Join(err, q.Close())
		}
		return nil, fmt.Errorf("packetio: open tun %s: %w", o.Name, tunRemedy(o.Name, err))
	}
	return queues, nil
}

func openTUN(o TUNOptions) (queues []*TUNQueue, err error) {
	cfg := water.Config{DeviceType: water.TUN}
	cfg.Name, cfg.MultiQueue, cfg.Persist = o.Name, o.Queues > 1, persistent(o.Name)
	for range max(1, o.Queues) {
		q, err := openTUNQueue(cfg)
		if err != nil {
			return queues, err
		}
		queues = append(queues, q)
		cfg.Name = q.name
	}
	link, err := netlink.LinkByName(cfg.Name)
	if err != nil {
		return queues, err
	}
	for _, q := range queues {
		q.mtu = link.Attrs().MTU
	}
	return queues, netlink.LinkSetUp(link)
}

// persistent says whether the interface is there and outlives its users: water sets
// that anew each time it opens one, and an operator's must stay as it is.
func persistent(name string) bool {
	link, err := netlink.LinkByName(name)
	tun, ok := link.(*netlink.Tuntap)
	return err == nil && ok && !tun.NonPersist
}

func openTUNQueue(cfg water.Config) (*TUNQueue, error) {
	device, err := water.New(cfg)
	if err != nil {
		return nil, err
	}
	port, err := newPort(device.Name(), device.ReadWriteCloser.(*os.File))
	if err != nil {
		return nil, err
	}
	q := &TUNQueue{port: port}
	q.collector, q.checker, q.transmit = q.collect, q.check, q.sendAll // made once, as in newReceiver
	if q.in, err = newSlots(); err == nil {
		err = q.checkLater()
	}
	if err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return q, nil
}

func tunRemedy(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; run: modprobe tun, or give the container the device /dev/net/tun", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; run as root or with CAP_NET_ADMIN and access to /dev/net/tun", err)
	case errors.Is(err, unix.ENOTTY):
		return fmt.Errorf("%w; /dev/net/tun is not the TUN device: give the container the real one", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w; another process has %s open, or set gateway.tun.name to a name of its own", err, name)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w; %s exists as another kind of interface: set gateway.tun.name", err, name)
	}
	return err
}

// Name returns the interface's name.
func (q *TUNQueue) Name() string { return q.name }

// MTU returns the interface's MTU when it was opened, in bytes.
func (q *TUNQueue) MTU() int { return q.mtu }

// Layout returns that a frame is an IP packet.
func (q *TUNQueue) Layout() Layout { return Layout{} }

// Stats returns what was lost so far. What arrived while the queue was full is
// not in it: the kernel counts that by interface (TX dropped).
func (q *TUNQueue) Stats() Stats { return q.stats() }

// Close ends the queue, and the ReadBatch that waits. A reader that has a batch
// keeps it. It is safe to call Close more than once, from any goroutine.
func (q *TUNQueue) Close() error { return q.close(func() error { return nil }) }

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
