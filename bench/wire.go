package main

import (
	"fmt"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batchSize  = 64  // frames in one system call
	frameRoom  = 128 // bytes; the frames here are of 60 and less, of others the head is enough
	receiveAll = unix.ETH_P_ALL
	sendOnly   = 0 // a packet socket of no protocol receives nothing
)

// batch is the memory that sendmmsg(2) and recvmmsg(2) work on. It must not be
// copied, because it points into itself.
type batch struct {
	headers [batchSize]struct {
		unix.Msghdr
		length uint32 // of the frame, as received
	}
	vectors [batchSize]unix.Iovec
	frames  [batchSize][frameRoom]byte
}

func newBatch(length int) *batch {
	b := new(batch)
	for i := range b.headers {
		b.vectors[i].Base = &b.frames[i][0]
		b.vectors[i].SetLen(length)
		b.headers[i].Iov = &b.vectors[i]
		b.headers[i].SetIovlen(1)
	}
	return b
}

// received returns the i-th frame of the last receive, as far as there was room.
func (b *batch) received(i int) []byte {
	return b.frames[i][:min(b.headers[i].length, frameRoom)]
}

// wire is a packet socket on one interface.
type wire struct{ fd int }

// openWire opens one that receives frames of a protocol (receiveAll, sendOnly), but
// not those that this host sends.
func openWire(iface string, protocol int) (*wire, error) {
	link, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, fmt.Errorf("bench: find %s: %w", iface, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("bench: open packet socket: %w", err)
	}
	w := &wire{fd}
	if err := w.prepare(link.Index, protocol); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bench: prepare packet socket on %s: %w", iface, err)
	}
	return w, nil
}

const (
	bufferRoom     = 256 << 20 // bytes; a socket charges each small frame with about 800
	receiveTimeout = 50_000    // microseconds
)

func (w *wire) prepare(index, protocol int) error {
	options := []struct{ level, name, value int }{
		{unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1},
		{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
		{unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bufferRoom},
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bufferRoom},
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(w.fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	timeout := unix.Timeval{Usec: receiveTimeout}
	if err := unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	bigEndian := uint16(protocol<<8 | protocol>>8)
	return os.NewSyscallError("bind", unix.Bind(w.fd, &unix.SockaddrLinklayer{Ifindex: index, Protocol: bigEndian}))
}

// send sends the first n frames.
func (w *wire) send(b *batch, n int) error {
	for sent := 0; sent < n; {
		done, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(w.fd),
			uintptr(unsafe.Pointer(&b.headers[sent])), uintptr(n-sent), 0, 0, 0)
		switch errno {
		case 0:
			sent += int(done)
		case unix.EINTR, unix.EAGAIN, unix.ENOBUFS:
		default:
			return fmt.Errorf("bench: send frames: %w", os.NewSyscallError("sendmmsg", errno))
		}
	}
	return nil
}

// receive waits at most receiveTimeout for frames and returns how many came.
func (w *wire) receive(b *batch) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(w.fd),
		uintptr(unsafe.Pointer(&b.headers[0])), batchSize, unix.MSG_WAITFORONE, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR, unix.EAGAIN:
		return 0, nil
	}
	return 0, fmt.Errorf("bench: receive frames: %w", os.NewSyscallError("recvmmsg", errno))
}

// lost returns how many frames the kernel dropped because nobody received them in
// time, since the last call.
func (w *wire) lost() (int, error) {
	stats, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0, fmt.Errorf("bench: read packet socket's statistics: %w", os.NewSyscallError("getsockopt", err))
	}
	return int(stats.Drops), nil
}

func (w *wire) close() { unix.Close(w.fd) }
