package packetio

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// port is what both kinds of queue share: a descriptor, a place to wait for it,
// and an end.
//
// The descriptor is taken out of the runtime's poller. That one watches every
// descriptor for reading and writing at once, so each arriving frame and each
// frame that the device has done with would wake an idle thread, which finds
// nothing to do: on two cores that halves the packet rate. A reader here asks the
// kernel only when it found nothing, and waits in ppoll.
type port struct {
	counts
	name string
	fd   int
	end  int // eventfd; readable once the port is closed

	closed atomic.Bool
	inUse  sync.RWMutex // read-held by whoever uses fd or end; Close write-holds it to give them back
}

// pollable is an open descriptor that the runtime's poller knows.
type pollable interface {
	syscall.Conn
	io.Closer
}

// newPort takes c over, also when it fails.
func newPort(name string, c pollable) (*port, error) {
	fd, err := detach(c)
	if err != nil {
		return nil, err
	}
	end, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &port{name: name, fd: fd, end: end}, nil
}

// detach returns a descriptor of its own for what c has open, and closes c,
// with which the runtime's poller forgets it.
func detach(c pollable) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, errors.Join(err, c.Close())
	}
	var dupErr error
	err = raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, dupErr); err != nil {
		return 0, errors.Join(err, c.Close())
	}
	return fd, c.Close()
}

// enter begins a call that uses the descriptor; leave must follow if it returns nil.
func (p *port) enter() error {
	p.inUse.RLock()
	if p.closed.Load() {
		p.inUse.RUnlock()
		return net.ErrClosed
	}
	return nil
}

func (p *port) leave() { p.inUse.RUnlock() }

// wait parks the goroutine's thread until fd is readable or has an error to
// report, or d is over, and says which of these it is. It returns net.ErrClosed if Close came first.
func (p *port) wait(d time.Duration) (events int16, err error) {
	fds := [2]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}, {Fd: int32(p.end), Events: unix.POLLIN}}
	limit := unix.NsecToTimespec(int64(d))
	for {
		_, err := unix.Ppoll(fds[:], &limit, nil)
		switch {
		case p.closed.Load():
			return 0, net.ErrClosed
		case err == nil:
			return fds[0].Revents, nil
		case err != unix.EINTR: // the scheduler's preemption signal
			return 0, err
		}
	}
}

// shut ends the port: it drives out whoever waits, and gives the descriptors back
// when nobody uses them. Only the first call does anything; it runs last before
// the descriptors go.
func (p *port) shut(last func() error) error {
	if p.closed.Swap(true) {
		return nil
	}
	_, err := unix.Write(p.end, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // any number but zero
	p.inUse.Lock()
	defer p.inUse.Unlock()
	err = errors.Join(err, last(), unix.Close(p.fd), unix.Close(p.end))
	if err != nil {
		return fmt.Errorf("packetio: close %s: %w", p.name, err)
	}
	return nil
}

func (p *port) fail(op string, err error) error {
	return fmt.Errorf("packetio: %s %s: %w", op, p.name, err)
}
