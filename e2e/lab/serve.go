package lab

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Server is something that answers on a host until it or the lab is closed.
type Server struct {
	// Addr is where it listens; the host's address if it listens on all.
	Addr netip.AddrPort

	lab     *Lab
	stop    func() error
	running sync.WaitGroup
}

// ServeHTTP serves HTTP on the host at an address like ":80".
func ServeHTTP(h *Host, address string, handler http.Handler) (*Server, error) {
	listener, err := h.Listen("tcp4", address)
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	return h.serve(listener.Addr(), server.Close, func(*Server) { server.Serve(listener) })
}

// ServeTCPEcho sends every byte of every connection back, and closes when the
// client does.
func ServeTCPEcho(h *Host, address string) (*Server, error) {
	return ServeTCP(h, address, func(conn net.Conn) { io.Copy(conn, conn) })
}

// ServeTCP has answer talk on every connection; when it returns, or the server is
// closed, the connection is closed.
func ServeTCP(h *Host, address string, answer func(net.Conn)) (*Server, error) {
	listener, err := h.Listen("tcp4", address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	stop := func() error {
		cancel()
		return listener.Close()
	}
	return h.serve(listener.Addr(), stop, func(s *Server) {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.running.Go(func() {
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				defer conn.Close()
				answer(conn)
			})
		}
	})
}

// ServeUDPEcho sends every datagram back to where it came from.
func ServeUDPEcho(h *Host, address string) (*Server, error) {
	return ServeUDP(h, address, func(request []byte, _ netip.AddrPort) []byte { return request })
}

// ServeUDP sends the answer to every datagram to where that came from. The request
// is answer's until it returns.
func ServeUDP(h *Host, address string, answer func(request []byte, from netip.AddrPort) []byte) (*Server, error) {
	conn, err := h.ListenPacket("udp4", address)
	if err != nil {
		return nil, err
	}
	return h.serve(conn.LocalAddr(), conn.Close, func(*Server) {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			conn.WriteTo(answer(buf[:n], netip.MustParseAddrPort(from.String())), from)
		}
	})
}

// serve runs loop until stop makes it return.
func (h *Host) serve(at net.Addr, stop func() error, loop func(*Server)) (*Server, error) {
	s := &Server{Addr: netip.MustParseAddrPort(at.String()), lab: h.lab, stop: sync.OnceValue(stop)}
	if s.Addr.Addr().IsUnspecified() {
		s.Addr = netip.AddrPortFrom(h.Addr, s.Addr.Port())
	}
	s.running.Go(func() { loop(s) })
	if err := h.lab.own(s); err != nil {
		return nil, err
	}
	return s, nil
}

// Close stops listening, closes the server's connections and waits until it has
// ended. Calls after the first do nothing.
func (s *Server) Close() error {
	err := s.stop()
	s.running.Wait()
	s.lab.disown(s)
	return err
}
