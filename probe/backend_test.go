package probe

import (
	"bufio"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = netip.MustParseAddr("127.0.0.1")

// backend is a real server whose every connection is served by a function, which
// may block on reads; it ends with the test.
type backend struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
	all   sync.WaitGroup
}

func serve(t *testing.T, at netip.AddrPort, f func(net.Conn)) *backend {
	t.Helper()
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{Listener: l}
	b.all.Go(func() { b.accept(f) })
	t.Cleanup(b.stop)
	return b
}

func (b *backend) accept(f func(net.Conn)) {
	for {
		c, err := b.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		b.conns = append(b.conns, c)
		b.mu.Unlock()
		b.all.Go(func() {
			defer c.Close()
			f(c)
		})
	}
}

func (b *backend) stop() {
	b.Close()
	b.mu.Lock()
	for _, c := range b.conns {
		c.Close()
	}
	b.mu.Unlock()
	b.all.Wait()
}

func (b *backend) port() uint16 { return portOf(b.Addr()) }

func portOf(a net.Addr) uint16 { return a.(*net.TCPAddr).AddrPort().Port() }

// says reads a request and answers with text.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		if hear(c) {
			io.WriteString(c, text)
		}
	}
}

// forever answers with head, and then with more of rest than anybody would read.
func forever(head, rest string, pause time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		if !hear(c) {
			return
		}
		_, err := io.WriteString(c, head)
		for err == nil {
			time.Sleep(pause)
			_, err = io.WriteString(c, rest)
		}
	}
}

// hear reads a request's headers to their end.
func hear(c net.Conn) bool {
	r, err := http.ReadRequest(bufio.NewReader(c))
	return err == nil && r.Method == http.MethodGet
}

func silent(c net.Conn) { io.Copy(io.Discard, c) }

func reset(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }

// secure serves HTTPS with a certificate that nobody signed.
func secure(t *testing.T, config *tls.Config, h http.HandlerFunc) uint16 {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS, s.Config.ErrorLog = config, log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return portOf(s.Listener.Addr())
}

// certified is a configuration with such a certificate.
func certified(t *testing.T) *tls.Config {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates}
}

// closedPort is a port that nobody listens on.
func closedPort(t *testing.T) uint16 {
	b := serve(t, netip.AddrPortFrom(loopback, 0), silent)
	b.stop()
	return b.port()
}

// blackHole is a port whose SYNs are dropped: its accept queue is full.
func blackHole(t *testing.T) uint16 {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: loopback.As4()}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*syscall.SockaddrInet4).Port
	for range 16 {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(loopback.String(), strconv.Itoa(port)), 100*time.Millisecond)
		if err != nil {
			return uint16(port)
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("a listener with backlog 0 took 16 connections")
	return 0
}
