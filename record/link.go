package record

import (
	"context"
	"io"
	"net"
	"time"
)

// datagrams are a link that never waits. What the network loses is lost.
type datagrams struct {
	net.Conn
	begun bool
}

func (d *datagrams) ready() (fresh, ok bool) {
	fresh, d.begun = !d.begun, true
	return fresh, true
}

func (d *datagrams) send(message []byte) error {
	_, err := d.Write(message)
	return err
}

func (*datagrams) repeats() bool { return false }

const (
	// How long a collector that is away is left alone: twice as long each time.
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second

	// dialTimeout and sendTimeout are how long a collector may think, in a network that
	// drops what it does not like.
	dialTimeout = 5 * time.Second
	sendTimeout = 5 * time.Second

	// steady is how long a connection has to last for the next one to be tried soon.
	steady = 10 * time.Second
)

// stream is a link that waits for the collector until ctx is done; meanwhile the
// sink's queue fills.
type stream struct {
	ctx     context.Context
	dial    func(context.Context) (net.Conn, error)
	conn    net.Conn // nil: none
	since   time.Time
	pause   time.Duration
	unwatch func() bool
}

func newStream(ctx context.Context, address string) *stream {
	dialer := net.Dialer{Timeout: dialTimeout}
	return &stream{ctx: ctx, dial: func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", address) }}
}

func (s *stream) ready() (fresh, ok bool) {
	for s.conn == nil {
		if !s.rest() {
			return false, false
		}
		s.connect()
		fresh = true
	}
	return fresh, true
}

// rest waits before the next attempt, not before the first.
func (s *stream) rest() bool {
	select {
	case <-s.ctx.Done():
		return false
	case <-time.After(s.pause):
		return s.ctx.Err() == nil
	}
}

func (s *stream) connect() {
	conn, err := s.dial(s.ctx)
	if err != nil {
		s.lengthen()
		return
	}
	s.conn, s.since = conn, time.Now()
	s.unwatch = context.AfterFunc(s.ctx, func() { conn.Close() })
	go func() { // a collector says nothing but goodbye: then the next send fails at once
		io.Copy(io.Discard, conn)
		conn.Close()
	}()
}

func (s *stream) send(message []byte) error {
	s.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	_, err := s.conn.Write(message)
	if err == nil {
		return nil
	}
	if time.Since(s.since) >= steady {
		s.pause = 0
	}
	s.lengthen()
	s.Close()
	return err
}

// lengthen doubles the pause. Who accepts and then hangs up is away too: that a message
// was sent says only that the kernel took it.
func (s *stream) lengthen() { s.pause = min(max(firstPause, 2*s.pause), lastPause) }

func (*stream) repeats() bool { return true }

// Close ends the connection, not the link.
func (s *stream) Close() error {
	if s.conn == nil {
		return nil
	}
	s.unwatch()
	err := s.conn.Close()
	s.conn = nil
	return err
}
