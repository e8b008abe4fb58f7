package packetio

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// doorbell wakes the reader of a descriptor, but rings only while it waits. It is
// an epoll instance that watches the descriptor, and is itself what the runtime's
// poller knows, so that a reader parks as a goroutine and not as a thread.
type doorbell struct {
	file  *os.File
	raw   syscall.RawConn
	epoll int
	fd    int // what it watches; open for as long as the doorbell is

	// The goroutine's in wait.
	armed   bool
	event   unix.EpollEvent
	collect func(fd uintptr) bool
	attempt func(epoll uintptr) bool
}

func newDoorbell(fd int) (*doorbell, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	b := &doorbell{epoll: epoll, fd: fd}
	b.attempt = b.try // made once: made for each call, it would be garbage each time
	err = errors.Join(unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &b.event), unix.SetNonblock(epoll, true))
	b.file = os.NewFile(uintptr(epoll), "doorbell")
	if err == nil {
		b.raw, err = b.file.SyscallConn()
	}
	if err == nil {
		err = b.checkLater()
	}
	if err != nil {
		return nil, errors.Join(err, b.file.Close())
	}
	return b, nil
}

// checkEvery is how often a reader looks if its interface is still there: a socket
// is told of a link that goes down, but not of one that goes for good.
const checkEvery = time.Second

func (b *doorbell) checkLater() error { return b.file.SetReadDeadline(time.Now().Add(checkEvery)) }

// wait calls collect until it returns true, and waits for the bell between the
// calls. It calls check every checkEvery, and returns its error.
func (b *doorbell) wait(collect func(fd uintptr) bool, check func() error) error {
	b.collect = collect
	for {
		err := b.raw.Read(b.attempt)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if err := errors.Join(check(), b.checkLater()); err != nil {
			return err
		}
	}
}

func (b *doorbell) try(uintptr) bool {
	b.disarm()
	if b.collect(uintptr(b.fd)) {
		return true
	}
	b.arm()
	return false
}

// arm has the bell ring when the descriptor can be read: at once if it can be now.
func (b *doorbell) arm() {
	b.event = unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT}
	// An error could only cost the time to the next check.
	unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(b.epoll), unix.EPOLL_CTL_MOD, uintptr(b.fd),
		uintptr(unsafe.Pointer(&b.event)), 0, 0)
	b.armed = true
}

// disarm takes the event that has rung, without which EPOLLONESHOT stays armed.
func (b *doorbell) disarm() {
	if b.armed {
		unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(b.epoll), uintptr(unsafe.Pointer(&b.event)), 1, 0, 0, 0)
		b.armed = false
	}
}

// close ends the wait, and returns when nobody is in it.
func (b *doorbell) close() error { return b.file.Close() }
