package packetio

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// port is what both kinds of queue share: a descriptor and its end.
type port struct {
	counts
	name   string
	device device
	raw    syscall.RawConn // keeps the descriptor open while a call uses it

	once   sync.Once
	closed atomic.Bool
}

// device is an open descriptor that never blocks.
type device interface {
	syscall.Conn
	SetReadDeadline(time.Time) error
	Close() error
}

// newPort takes d over, also when it fails.
func newPort(name string, d device) (*port, error) {
	raw, err := d.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return &port{name: name, device: d, raw: raw}, nil
}

// checkEvery is how often a reader looks if its interface is still there: a socket
// is told of a link that goes down, but not of one that goes for good.
const checkEvery = time.Second

func (p *port) checkLater() error {
	return p.device.SetReadDeadline(time.Now().Add(checkEvery))
}

// read calls collect until it returns true, and parks the goroutine between the
// calls. It calls check every checkEvery.
func (p *port) read(collect func(fd uintptr) bool, check func() error) error {
	for {
		err := p.raw.Read(collect)
		if err == nil {
			return nil
		}
		if p.closed.Load() {
			return p.fail("read", net.ErrClosed)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = p.checkLater()
		}
		if err := errors.Join(check(), err); err != nil {
			return p.fail("read", err)
		}
	}
}

// write calls transmit once.
func (p *port) write(transmit func(fd uintptr)) error {
	err := p.raw.Control(transmit)
	if err != nil && p.closed.Load() {
		err = net.ErrClosed
	}
	if err != nil {
		return p.fail("write", err)
	}
	return nil
}

// control calls f with the descriptor and returns its error.
func (p *port) control(f func(fd int) error) (err error) {
	if closed := p.raw.Control(func(fd uintptr) { err = f(int(fd)) }); closed != nil {
		return closed
	}
	return err
}

// close ends the port, and calls free when no read goes on any more. Calls but the
// first wait for that too.
func (p *port) close(free func() error) (err error) {
	p.once.Do(func() {
		p.closed.Store(true)
		if err = errors.Join(p.device.Close(), free()); err != nil {
			err = p.fail("close", err)
		}
	})
	return err
}

func (p *port) fail(op string, err error) error {
	return fmt.Errorf("packetio: %s %s: %w", op, p.name, err)
}

// refuse counts a frame that the kernel did not take, and returns an error if it
// will never take any.
func (c *counts) refuse(errno unix.Errno) error {
	switch errno {
	case unix.ENOBUFS, unix.EAGAIN, unix.ENOMEM:
		c.full.Add(1)
	case unix.EMSGSIZE:
		c.tooLong.Add(1)
	case unix.ENETDOWN, unix.EIO: // a TUN says the latter
		c.down.Add(1)
	case unix.ENXIO, unix.ENODEV, unix.EBADFD: // a TUN says the last
		return ErrNoInterface
	default:
		c.invalid.Add(1)
	}
	return nil
}
