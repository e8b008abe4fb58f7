package probe

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// ask asks one backend once, from the local address source if that is valid. It
// returns by q.Timeout, or soon after ctx is done, with its socket closed.
func ask(ctx context.Context, q *question, source, backend netip.Addr) answer {
	start := time.Now()
	remote := netip.AddrPortFrom(backend, q.Port)
	conn, err := dial(ctx, start.Add(q.Timeout), source, remote)
	if err != nil {
		return unopened(q, source, err).since(start)
	}
	defer conn.Close()
	if q.Protocol == TCP {
		return answer{kind: yes, result: "connected"}.since(start)
	}
	cut := context.AfterFunc(ctx, func() { conn.Close() })
	defer cut()
	if err := conn.SetDeadline(start.Add(q.Timeout)); err != nil {
		return unanswered(q, err).since(start) // closed by cut
	}
	return askHTTP(conn, q, remote, start)
}

// dial opens a connection.
func dial(ctx context.Context, deadline time.Time, source netip.Addr, remote netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Deadline: deadline}
	if source.IsValid() {
		d.LocalAddr, d.Control = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), portLater
	}
	return d.DialContext(ctx, "tcp", remote.String())
}

// portLater makes binding an address take no port yet: connect takes one that is
// free towards that backend (ip(7), IP_BIND_ADDRESS_NO_PORT). Taken by bind it
// would be lost to all backends for the minute of TIME_WAIT, and 470 probes in a
// second would use up the usual 28,232.
func portLater(_, _ string, c syscall.RawConn) (err error) {
	if broken := c.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, bindAddressNoPort, 1))
	}); broken != nil {
		return broken
	}
	return err
}

const bindAddressNoPort = 24 // IP_BIND_ADDRESS_NO_PORT of <linux/in.h>, Linux 4.2; for IPv6 sockets too
