package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sequences is where a kernel stands in a TCP connection (RFC 9293 §3.3.1).
type Sequences struct {
	SndUna uint32 // oldest number sent and not acknowledged
	SndNxt uint32 // next number to send
	RcvNxt uint32 // next number expected: the only one at which a RST is taken (RFC 5961 §3.2)
}

// SequencesOf reads a TCP connection's sequence numbers from the kernel by
// TCP_REPAIR, and sends nothing. The connection must be quiet meanwhile: for
// these few microseconds the kernel refuses reads and holds back what an
// arriving acknowledgement would let it send.
func SequencesOf(c net.Conn) (Sequences, error) {
	var s Sequences
	err := onSocket(c, func(fd int) (err error) {
		s, err = repair(fd)
		return err
	})
	if err != nil {
		return s, fmt.Errorf("lab: read sequence numbers of %s: %w", c.LocalAddr(), err)
	}
	return s, nil
}

// repair reads the numbers in repair mode, and leaves that mode without the
// window probe that would show on the wire. The mode overwrites SO_REUSEADDR.
func repair(fd int) (s Sequences, err error) {
	reuse, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR)
	if err != nil {
		return s, os.NewSyscallError("getsockopt SO_REUSEADDR", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_ON); err != nil {
		return s, os.NewSyscallError("setsockopt TCP_REPAIR", err)
	}
	defer func() {
		off := unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_OFF_NO_WP)
		back := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, reuse)
		err = errors.Join(err, os.NewSyscallError("setsockopt TCP_REPAIR", off),
			os.NewSyscallError("setsockopt SO_REUSEADDR", back))
	}()
	return readSequences(fd)
}

// The queues of TCP_REPAIR_QUEUE (linux/tcp.h).
const (
	tcpRecvQueue = 1
	tcpSendQueue = 2
)

// readSequences reads them in repair mode. The send queue's number is the end of
// what was written; what was not sent or not acknowledged of it is subtracted.
func readSequences(fd int) (s Sequences, err error) {
	if s.RcvNxt, err = queueSequence(fd, tcpRecvQueue); err != nil {
		return s, err
	}
	written, err := queueSequence(fd, tcpSendQueue)
	if err != nil {
		return s, err
	}
	state, err := unix.GetsockoptTCPInfo(fd, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil {
		return s, os.NewSyscallError("getsockopt TCP_INFO", err)
	}
	unacked, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return s, os.NewSyscallError("ioctl SIOCOUTQ", err)
	}
	s.SndNxt = written - state.Notsent_bytes
	s.SndUna = written - uint32(unacked)
	return s, nil
}

func queueSequence(fd, queue int) (uint32, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_REPAIR_QUEUE, queue); err != nil {
		return 0, os.NewSyscallError("setsockopt TCP_REPAIR_QUEUE", err)
	}
	n, err := unix.GetsockoptInt(fd, unix.SOL_TCP, unix.TCP_QUEUE_SEQ)
	return uint32(n), os.NewSyscallError("getsockopt TCP_QUEUE_SEQ", err)
}

// TCPInfo returns the kernel's TCP_INFO of a connection (tcp(7)). State 1 is
// ESTABLISHED.
func TCPInfo(c net.Conn) (*unix.TCPInfo, error) {
	var state *unix.TCPInfo
	err := onSocket(c, func(fd int) (err error) {
		state, err = unix.GetsockoptTCPInfo(fd, unix.SOL_TCP, unix.TCP_INFO)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: read TCP_INFO of %s: %w", c.LocalAddr(), err)
	}
	return state, nil
}

// onSocket runs f on the connection's socket while no other goroutine writes to it.
func onSocket(c net.Conn, f func(fd int) error) error {
	s, ok := c.(syscall.Conn)
	if !ok {
		return fmt.Errorf("%T: is no socket", c)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = raw.Write(func(fd uintptr) bool {
		result = f(int(fd))
		return true
	})
	return errors.Join(err, result)
}

// WaitReset reads from the connection, and throws away what comes, until the
// kernel says that the other end reset it; it returns when that was. Anything
// else that ends the connection, and the timeout, is an error.
func WaitReset(c net.Conn, timeout time.Duration) (time.Time, error) {
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return time.Time{}, fmt.Errorf("lab: wait for reset of %s: %w", c.LocalAddr(), err)
	}
	defer c.SetReadDeadline(time.Time{})
	buf := make([]byte, 1<<16)
	for {
		_, err := c.Read(buf)
		now := time.Now()
		switch {
		case err == nil:
		case errors.Is(err, unix.ECONNRESET):
			return now, nil
		default:
			return now, fmt.Errorf("lab: wait for reset of %s: %w", c.LocalAddr(), err)
		}
	}
}
