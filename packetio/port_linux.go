package packetio

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// port is what both kinds of queue share: a descriptor and its end.
type port struct {
	counts
	name string
	file *os.File
	raw  syscall.RawConn // keeps the descriptor open while a call uses it
	bell *doorbell       // nil if nobody reads

	once   sync.Once
	closed atomic.Bool
}

// device is an open descriptor of a library.
type device interface {
	syscall.Conn
	Close() error
}

// newPort takes the descriptor from d, and closes d, also when it fails.
//
// With that the runtime's poller forgets the descriptor. It would have the kernel
// wake an idle thread for every frame that arrives while the reader is busy, and
// for every frame that the device has done with.
func newPort(name string, d device) (*port, error) {
	file, err := takeFile(name, d)
	if err = errors.Join(err, d.Close()); err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &port{name: name, file: file, raw: raw}, nil
}

func takeFile(name string, d device) (*os.File, error) {
	raw, err := d.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dupErr error
	err = raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, dupErr); err != nil {
		return nil, err
	}
	// os.NewFile gives to the poller what does not block at that moment.
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), name)
	return file, unix.SetNonblock(fd, true)
}

// listen makes the port one that can be read.
func (p *port) listen() error {
	return p.control(func(fd int) (err error) {
		p.bell, err = newDoorbell(fd)
		return err
	})
}

// read calls collect until it returns true, and parks the goroutine between the
// calls. It calls check now and then.
func (p *port) read(collect func(fd uintptr) bool, check func() error) error {
	err := p.bell.wait(collect, check)
	if err != nil && p.closed.Load() {
		err = net.ErrClosed
	}
	if err != nil {
		return p.fail("read", err)
	}
	return nil
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
		if p.bell != nil {
			err = p.bell.close()
		}
		if err = errors.Join(err, p.file.Close(), free()); err != nil {
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
