package main

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
)

// An end plays one end of very many TCP connections at once, with crafted frames:
// the client's opens them, the server's answers. Both hold no state that a
// connection would need, as every number is known beforehand.

const (
	clientISN = 0x1000_0000 // initial sequence numbers
	serverISN = 0x2000_0000
)

// endOrder says what an end is.
type endOrder struct {
	Interface string
	Link      link
	Open      int           // connections to open; 0: the server's end
	Patience  time.Duration // how long to wait for the first reset
}

// endResult is what an end saw. Times are CLOCK_MONOTONIC in nanoseconds.
type endResult struct {
	Refreshed   int64 // when the last connection was used for the last time (client)
	First, Last int64 // reset
	Resets      int   // that came
	Connections int   // that got one or more
	Wrong       int   // resets that their receiver would not take (RFC 5961)
	Lost        int   // frames that came too fast to be looked at
}

// end is one at work.
type end struct {
	endOrder
	in, out *wire
	opened  []atomic.Bool // connections that the server has answered, by number
	count   atomic.Int64  // of them
	reset   map[netip.AddrPort]struct{}
	seen    endResult
}

// runEnd is the child.
func runEnd(o endOrder) (endResult, error) {
	e := &end{endOrder: o, opened: make([]atomic.Bool, o.Open), reset: make(map[netip.AddrPort]struct{})}
	var err error
	if e.in, err = openWire(o.Interface, receiveAll); err != nil {
		return e.seen, err
	}
	defer e.in.close()
	if e.out, err = openWire(o.Interface, sendOnly); err != nil {
		return e.seen, err
	}
	defer e.out.close()
	received := make(chan error, 1)
	go func() { received <- e.receive() }()
	refreshed := int64(0)
	if o.Open > 0 {
		if err := e.open(); err != nil {
			return e.seen, err
		}
		if refreshed, err = e.refresh(); err != nil {
			return e.seen, err
		}
	}
	err = <-received
	e.seen.Refreshed = refreshed
	return e.seen, err
}

// calm is how long after a reset no other has to come for all to have come: longer
// than the second, or 2 %, by which a flow may expire late.
const calm = 2 * time.Second

// receive answers what comes, until resets have come and stopped coming.
func (e *end) receive() error {
	in, out := newBatch(frameRoom), newBatch(segmentLength)
	for deadline := monotonic() + int64(e.Patience); monotonic() < deadline; {
		n, err := e.in.receive(in)
		if err != nil {
			return err
		}
		now, replies := monotonic(), 0
		for i := range n {
			s, ok := readSegment(in.received(i))
			if !ok || !e.concerns(s) {
				continue
			}
			if r, ok := e.take(s, now); ok {
				r.write(out.frames[replies][:], e.Link)
				replies++
			}
		}
		if err := e.out.send(out, replies); err != nil {
			return err
		}
		if e.seen.Last != 0 {
			deadline = e.seen.Last + int64(calm)
		}
	}
	var err error
	e.seen.Lost, err = e.in.lost()
	return err
}

// concerns says whether a segment belongs to one of the connections.
func (e *end) concerns(s segment) bool {
	remote := s.dst
	if e.Open > 0 {
		remote = s.src
	}
	return remote.Port() == endPort && farPrefix.Contains(remote.Addr())
}

// take looks at a segment that came in and returns the reply that it asks for.
func (e *end) take(s segment, now int64) (reply segment, ok bool) {
	switch {
	case s.flags&flagRST != 0:
		e.noteReset(s, now)
	case s.flags&(flagSYN|flagACK) == flagSYN:
		return s.reply(serverISN, flagSYN|flagACK), true
	case s.flags&flagSYN != 0:
		if n := connectionOf(s.dst.Port(), s.src.Addr()); n < len(e.opened) && !e.opened[n].Swap(true) {
			e.count.Add(1)
		}
		return s.reply(clientISN+1, flagACK), true
	}
	return segment{}, false
}

func (e *end) noteReset(s segment, now int64) {
	want := uint32(clientISN + 1)
	if e.Open > 0 {
		want = serverISN + 1
	}
	if s.seq != want {
		e.seen.Wrong++
	}
	if e.seen.First == 0 {
		e.seen.First = now
	}
	e.seen.Last = now
	e.seen.Resets++
	e.reset[connectionKey(s)] = struct{}{}
	e.seen.Connections = len(e.reset)
}

// openTries is how often a SYN is sent to a server that does not answer.
const openTries = 10

// open opens all connections.
func (e *end) open() error {
	for range openTries {
		unopened := func(n int) bool { return !e.opened[n].Load() }
		err := e.sendEach(openRate, unopened, func(n int) segment { return connection(n, clientISN, 0, flagSYN) })
		if err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond) // for the answers still under way
		if e.count.Load() == int64(e.Open) {
			return nil
		}
	}
	return fmt.Errorf("bench: open connections: %d of %d are open", e.count.Load(), e.Open)
}

// refresh uses each connection once more, so that all idle out together, and says
// when that was done.
func (e *end) refresh() (int64, error) {
	all := func(int) bool { return true }
	err := e.sendEach(gentleRate, all, func(n int) segment { return connection(n, clientISN+1, serverISN+1, flagACK) })
	return monotonic(), err
}

// openRate is one at which every gateway takes SYN, SYN-ACK and ACK without loss.
const openRate = gentleRate / 3 // connections per second

// sendEach sends a segment for each connection that is chosen, rate of them a second.
func (e *end) sendEach(rate uint64, chosen func(n int) bool, of func(n int) segment) error {
	out, start, queued, sent := newBatch(segmentLength), time.Now(), 0, 0
	for n := range e.Open {
		if chosen(n) {
			of(n).write(out.frames[queued][:], e.Link)
			queued++
		}
		if queued < batchSize && n < e.Open-1 {
			continue
		}
		if err := e.out.send(out, queued); err != nil {
			return err
		}
		sent, queued = sent+queued, 0
		pace(start, uint64(sent), rate)
	}
	return nil
}
