package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// Dial connects from the host. It fits http.Transport.DialContext. The address
// must be numeric. The connection belongs to the caller; TCP keepalives are off.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return h.DialFrom(ctx, network, netip.AddrPort{}, address)
}

// DialFrom is Dial from a chosen local address and port; where either is zero
// the kernel chooses. For the networks of TCP and UDP.
func (h *Host) DialFrom(ctx context.Context, network string, local netip.AddrPort, address string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: localAddr(network, local), KeepAlive: -1}
	dialer.SetMultipathTCP(false)
	var conn net.Conn
	err := h.inside(func() (err error) {
		conn, err = dialer.DialContext(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: dial from %s: %w", h.Name, err)
	}
	return conn, nil
}

// localAddr is what a Dialer wants to be told about the local end, if anything.
func localAddr(network string, local netip.AddrPort) net.Addr {
	switch {
	case local == netip.AddrPort{}:
		return nil
	case strings.HasPrefix(network, "udp"):
		return net.UDPAddrFromAddrPort(local)
	default:
		return net.TCPAddrFromAddrPort(local)
	}
}

// Listen listens for stream connections on the host, as in ":80" or
// "10.0.0.10:0". The listener belongs to the caller; connections it accepts have
// TCP keepalives off.
func (h *Host) Listen(network, address string) (net.Listener, error) {
	config := net.ListenConfig{KeepAlive: -1}
	config.SetMultipathTCP(false) // so that what it accepts is plain TCP all through
	var listener net.Listener
	err := h.bind(func() (err error) {
		listener, err = config.Listen(context.Background(), network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: listen on %s: %w", h.Name, err)
	}
	return listener, nil
}

// held is how long a port may be in use that nobody uses any more: a program that is
// being started holds all sockets of this process until it has replaced its image.
const held = 2 * time.Second

// bind opens a socket, and waits for its port if that is in use.
func (h *Host) bind(open func() error) error {
	err := h.inside(open)
	for deadline := time.Now().Add(held); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
		err = h.inside(open)
	}
	return err
}

// ListenPacket opens an unconnected datagram or raw socket on the host: "udp4",
// "ip4:icmp". It belongs to the caller.
func (h *Host) ListenPacket(network, address string) (net.PacketConn, error) {
	var conn net.PacketConn
	err := h.bind(func() (err error) {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lab: listen on %s: %w", h.Name, err)
	}
	return conn, nil
}

// Connect makes one TCP connection and returns both ends: client on the from
// host, and server, at a port of the to host that the kernel chooses. Both
// belong to the caller. An attempt that gets no answer ends with ctx.
func Connect(ctx context.Context, from, to *Host) (client, server *net.TCPConn, err error) {
	listener, err := to.Listen("tcp4", netip.AddrPortFrom(to.Addr, 0).String())
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	conn, err := from.Dial(ctx, "tcp4", listener.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	defer context.AfterFunc(ctx, func() {
		listener.(*net.TCPListener).SetDeadline(time.Unix(1, 0))
	})()
	accepted, err := listener.Accept()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("lab: accept on %s: %w", to.Name, err), conn.Close())
	}
	return conn.(*net.TCPConn), accepted.(*net.TCPConn), nil
}
