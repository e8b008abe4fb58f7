// Package packetiotest is a packetio queue in memory, for tests: what is injected
// is read, and what is written can be looked at. It keeps the contract of a real
// queue, and takes it literally where a real one would let a mistake pass: when a
// frame's life ends, its bytes are overwritten.
package packetiotest

import (
	"bytes"
	"fmt"
	"net"
	"sync"

	"tidegate/packetio"
)

// Poison is what the bytes of a frame become at the ReadBatch that ends its life.
const Poison = 0xdb

// Queue is a queue in memory. Its methods are safe for concurrent use, but for
// ReadBatch, which one goroutine at a time may call, as of any queue.
type Queue struct {
	layout  packetio.Layout
	arrived chan []byte
	sent    chan []byte
	last    [][]byte // what the reader has; the goroutine's in ReadBatch

	close  sync.Once
	closed chan struct{}

	mu    sync.Mutex
	stats packetio.Stats
}

// New makes a queue that holds at most depth frames which nobody has read, and as
// many that were sent and nobody has looked at. What is more is lost and counted,
// as on a real queue.
func New(layout packetio.Layout, depth int) *Queue {
	return &Queue{
		layout: layout, closed: make(chan struct{}),
		arrived: make(chan []byte, depth), sent: make(chan []byte, depth),
	}
}

// Inject has a copy of frame arrive, and returns false if the queue was full.
func (q *Queue) Inject(frame []byte) bool {
	select {
	case q.arrived <- bytes.Clone(frame):
		return true
	default:
		q.count(&q.stats.Dropped)
		return false
	}
}

// Sent delivers copies of the frames that were written, in order. It is never closed.
func (q *Queue) Sent() <-chan []byte { return q.sent }

// ReadBatch waits until there is a frame, and fills frames[:n], at most
// packetio.BatchSize. Frames die at the next call.
func (q *Queue) ReadBatch(frames [][]byte) (n int, err error) {
	q.poison()
	if q.isClosed() {
		return 0, q.fail("read")
	}
	select {
	case <-q.closed:
		return 0, q.fail("read")
	case f := <-q.arrived:
		q.last = append(q.last, f)
	}
	q.collect(min(len(frames), packetio.BatchSize))
	return copy(frames, q.last), nil
}

func (q *Queue) collect(most int) {
	for len(q.last) < most {
		select {
		case f := <-q.arrived:
			q.last = append(q.last, f)
		default:
			return
		}
	}
}

func (q *Queue) poison() {
	for _, f := range q.last {
		for i := range f {
			f[i] = Poison
		}
	}
	q.last = q.last[:0]
}

// WriteBatch sends copies of frames, and returns how many there was room for.
func (q *Queue) WriteBatch(frames [][]byte) (sent int, err error) {
	if q.isClosed() {
		return 0, q.fail("write")
	}
	for _, f := range frames {
		select {
		case q.sent <- bytes.Clone(f):
			sent++
		default:
			q.count(&q.stats.Refused.Full)
		}
	}
	return sent, nil
}

// Layout returns what New was given.
func (q *Queue) Layout() packetio.Layout { return q.layout }

// Stats returns what was lost so far.
func (q *Queue) Stats() packetio.Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.stats
}

// Close ends the queue, and the ReadBatch that waits.
func (q *Queue) Close() error {
	q.close.Do(func() { close(q.closed) })
	return nil
}

func (q *Queue) isClosed() bool {
	select {
	case <-q.closed:
		return true
	default:
		return false
	}
}

func (q *Queue) count(n *uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	*n++
}

func (q *Queue) fail(op string) error {
	return fmt.Errorf("packetiotest: %s: %w", op, net.ErrClosed)
}
