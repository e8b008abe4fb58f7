package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// measureLatency sends a small message to and fro over one connection, one at a
// time, on a machine that does nothing else. Where the gateway is a process, much
// of the time is the kernel waking it up.
func measureLatency(ctx context.Context, l *leg) error {
	if err := l.start(ctx, load{}); err != nil {
		return err
	}
	pinger, err := l.startPing(ctx, pingOrder{Duration: l.duration})
	if err != nil {
		return err
	}
	var result pingResult
	if err := pinger.result(&result); err != nil {
		return err
	}
	trips := result.trips(0, 1<<63-1)
	l.add("TCP ping-pong, p50", "µs", percentile(trips, 50))
	l.add("TCP ping-pong, p99", "µs", percentile(trips, 99))
	return nil
}

const pongPort = 9000

// startPing starts both ends of a ping-pong. The order need not name the server.
func (l *leg) startPing(ctx context.Context, o pingOrder) (*child, error) {
	o.Server = netip.AddrPortFrom(serverAddr, pongPort)
	if _, err := startChild(ctx, l.server, "pong", pongOrder{o.Server}); err != nil {
		return nil, err
	}
	return startChild(ctx, l.client, "ping", o)
}

// pingOrder is for the end that asks.
type pingOrder struct {
	Server   netip.AddrPort
	Interval time.Duration // between two messages; 0: the next follows the answer
	Duration time.Duration // 0: until the parent says stop
}

// pingResult is when each message left and how long its round trip took, in
// nanoseconds of CLOCK_MONOTONIC, which all processes share.
type pingResult struct{ At, Took []int64 }

// trips returns the round trips in microseconds of the messages that were under
// way at some time between from and to.
func (r pingResult) trips(from, to int64) (micros []float64) {
	for i, at := range r.At {
		if at+r.Took[i] >= from && at <= to {
			micros = append(micros, float64(r.Took[i])/1000)
		}
	}
	return micros
}

// monotonic returns CLOCK_MONOTONIC in nanoseconds.
func monotonic() int64 {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // can't fail for this clock
	return t.Nano()
}

// ping is the end that asks. It uses blocking system calls: what Go's poller adds
// to a round trip is about as much as a gateway in the kernel does.
func ping(o pingOrder) (result pingResult, err error) {
	fd, err := connectBlocking(o.Server)
	if err != nil {
		return result, err
	}
	defer unix.Close(fd)
	timeout := unix.Timeval{Sec: answerTimeout}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return result, fmt.Errorf("bench: prepare socket: %w", os.NewSyscallError("setsockopt", err))
	}
	stop := stopped()
	start := monotonic()
	for n := int64(0); ; n++ {
		at := monotonic()
		if o.Duration != 0 && at-start >= int64(o.Duration) {
			return result, nil
		}
		select {
		case <-stop:
			return result, nil
		default:
		}
		if err := roundTrip(fd); err != nil {
			return result, err
		}
		result.At, result.Took = append(result.At, at), append(result.Took, monotonic()-at)
		time.Sleep(time.Duration(at + int64(o.Interval) - monotonic()))
	}
}

func roundTrip(fd int) error {
	var message [messageSize]byte
	if _, err := unix.Write(fd, message[:]); err != nil {
		return fmt.Errorf("bench: ping: %w", os.NewSyscallError("write", err))
	}
	if err := readMessage(fd, message[:]); err != nil {
		return fmt.Errorf("bench: ping: %w", err)
	}
	return nil
}

// readMessage fills b from a socket.
func readMessage(fd int, b []byte) error {
	for len(b) > 0 {
		n, _, err := unix.Recvfrom(fd, b, 0)
		switch {
		case err == unix.EINTR: // Go's scheduler interrupts threads
		case err != nil:
			return os.NewSyscallError("recvfrom", err)
		case n == 0:
			return io.ErrUnexpectedEOF
		default:
			b = b[n:]
		}
	}
	return nil
}

// connectBlocking connects to a server that was started a moment ago.
func connectBlocking(server netip.AddrPort) (fd int, err error) {
	for range 200 {
		if fd, err = tcpSocket(); err != nil {
			return 0, err
		}
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(server.Port()), Addr: server.Addr().As4()})
		if err == nil {
			return fd, nil
		}
		unix.Close(fd)
		time.Sleep(10 * time.Millisecond)
	}
	return 0, fmt.Errorf("bench: connect to %s: %w", server, os.NewSyscallError("connect", err))
}

const answerTimeout = 5 // seconds: four lost segments in a row

func tcpSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("bench: open socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("bench: prepare socket: %w", os.NewSyscallError("setsockopt", err))
	}
	return fd, nil
}

// pongOrder is for the end that answers.
type pongOrder struct{ Address netip.AddrPort }

// pong answers one connection until it ends.
func pong(o pongOrder) (nothing, error) {
	listener, err := tcpSocket()
	if err != nil {
		return nothing{}, err
	}
	if err := unix.Bind(listener, &unix.SockaddrInet4{Port: int(o.Address.Port()), Addr: o.Address.Addr().As4()}); err != nil {
		return nothing{}, fmt.Errorf("bench: bind %s: %w", o.Address, err)
	}
	if err := unix.Listen(listener, 1); err != nil {
		return nothing{}, fmt.Errorf("bench: listen at %s: %w", o.Address, err)
	}
	fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
	if err != nil {
		return nothing{}, fmt.Errorf("bench: accept at %s: %w", o.Address, err)
	}
	defer unix.Close(fd)
	var message [messageSize]byte
	for {
		if err := readMessage(fd, message[:]); err != nil {
			return nothing{}, nil // the other end has had enough
		}
		if _, err := unix.Write(fd, message[:]); err != nil {
			return nothing{}, fmt.Errorf("bench: pong: %w", err)
		}
	}
}
