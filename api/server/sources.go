package server

import (
	"net"
	"net/netip"
	"sync"
)

// perSource is a Listener that lets no source have more than maxPerSource connections at
// a time; one more is closed at once. So nobody alone keeps all the others out.
type perSource struct {
	net.Listener
	mu   sync.Mutex
	open map[netip.Prefix]int
}

func newPerSource(l net.Listener) *perSource {
	return &perSource{Listener: l, open: make(map[netip.Prefix]int)}
}

// Accept waits for a connection of a source that may have one more.
func (l *perSource) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := source(c.RemoteAddr().String())
		if l.enter(from) {
			return &counted{Conn: c, leave: sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		c.Close()
	}
}

func (l *perSource) enter(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from] >= maxPerSource {
		return false
	}
	l.open[from]++
	return true
}

func (l *perSource) leave(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from]--; l.open[from] == 0 {
		delete(l.open, from)
	}
}

// counted is a connection that has a place of its source.
type counted struct {
	net.Conn
	leave func() // once
}

// Close gives the place back.
func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}
