package packetio

import (
	"errors"
	"fmt"
	"io/fs"
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
	in  *slots // the goroutine's in ReadBatch
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
	cfg.Name, cfg.MultiQueue = o.Name, o.Queues > 1
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

func openTUNQueue(cfg water.Config) (*TUNQueue, error) {
	device, err := water.New(cfg)
	if err != nil {
		return nil, err
	}
	port, err := newPort(device.Name(), device.ReadWriteCloser.(pollable))
	if err != nil {
		return nil, err
	}
	q := &TUNQueue{port: port}
	if q.in, err = newSlots(); err != nil {
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

// Close ends the queue. Frames of the last batch stay readable, and die with the
// queue. It is safe to call more than once, from any goroutine.
func (q *TUNQueue) Close() error { return q.shut(func() error { return nil }) }

// ReadBatch waits until there is a packet, and fills frames[:n] with what has
// arrived, at most BatchSize. Frames die at the next call.
func (q *TUNQueue) ReadBatch(frames [][]byte) (n int, err error) {
	if err := q.enter(); err != nil {
		return 0, q.fail("read", err)
	}
	defer q.leave()
	frames = frames[:min(len(frames), BatchSize)]
	for {
		n, errno := q.collect(frames)
		if n > 0 {
			return n, nil
		}
		if errno == unix.EAGAIN {
			_, err = q.wait(removalCheck)
		} else {
			err = q.readError(errno)
		}
		if err != nil {
			return 0, q.fail("read", err)
		}
	}
}

// collect fills frames with what is there, and says why there is no more.
func (q *TUNQueue) collect(frames [][]byte) (n int, errno unix.Errno) {
	for n < len(frames) {
		slot := q.in.at(n, slotLen)
		length, errno := transfer(unix.SYS_READ, q.fd, slot)
		if errno != 0 {
			return n, errno
		}
		frames[n] = slot[:length:length]
		n++
	}
	return n, 0
}

func (q *TUNQueue) readError(errno unix.Errno) error {
	switch errno {
	case unix.EBADFD, unix.EFAULT: // what a reader of a removed interface gets
		return ErrNoInterface
	}
	return errno
}

// WriteBatch hands packets to the kernel, and returns how many it took. One that
// it refuses is counted by cause and skipped. err is not nil only when the queue
// is of no further use.
func (q *TUNQueue) WriteBatch(frames [][]byte) (sent int, err error) {
	if err := q.enter(); err != nil {
		return 0, q.fail("write", err)
	}
	defer q.leave()
	for _, f := range frames {
		if _, errno := transfer(unix.SYS_WRITE, q.fd, f); errno == 0 {
			sent++
		} else if err := q.refuse(errno); err != nil {
			return sent, q.fail("write", err)
		}
	}
	return sent, nil
}

// transfer is read(2) or write(2), around the scheduler as in messages.transfer.
func transfer(call uintptr, fd int, b []byte) (n int, err unix.Errno) {
	for {
		r, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if errno == 0 {
			return int(r), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}
