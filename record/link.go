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
)

// stream is a link that waits for the collector until ctx is done; meanwhile the
// sink's queue fills.
type stream struct {
	ctx     context.Context
	address string
	conn    net.Conn // nil: none
	pause   time.Duration
	unwatch func() bool
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
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(s.ctx, "tcp", s.address)
	if err != nil {
		s.pause = min(max(firstPause, 2*s.pause), lastPause)
		return
	}
	s.conn = conn
	s.unwatch = context.AfterFunc(s.ctx, func() { conn.Close() })
	go func() { // a collector says nothing but goodbye: then the next send fails at once
		io.Copy(io.Discard, conn)
		conn.Close()
	}()
}

func (s *stream) send(message []byte) error {
	s.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	_, err := s.conn.Write(message)
	if err != nil {
		s.pause = max(firstPause, s.pause)
		s.Close()
		return err
	}
	s.pause = 0
	return nil
}

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
