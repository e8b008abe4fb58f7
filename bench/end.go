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
	Opened      int64 // when the last connection was open (client)
	Refreshed   int64 // when it was used for the last time (client)
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
	reset   map[netip.AddrPort]struct{}
	seen    endResult

	confirmed []atomic.Bool // connections that the server has acknowledged, by number
	count     atomic.Int64  // of them
}

// runEnd is the child.
func runEnd(o endOrder) (endResult, error) {
	e := &end{endOrder: o, confirmed: make([]atomic.Bool, o.Open), reset: make(map[netip.AddrPort]struct{})}
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
	opened, refreshed, err := e.use()
	if err != nil {
		return e.seen, err
	}
	err = <-received
	e.seen.Opened, e.seen.Refreshed = opened, refreshed
	return e.seen, err
}

// use opens all connections and uses each once more, so that all idle out together.
// It says when it had done the one and the other. The server's end does nothing by
// itself.
func (e *end) use() (opened, refreshed int64, err error) {
	if err = e.exchangeAll(func(n int) segment { return connection(n, clientISN, 0, flagSYN) }); err != nil {
		return 0, 0, err
	}
	time.Sleep(lossTimeout) // for what is still under way
	opened = monotonic()
	err = e.exchangeAll(func(n int) segment { return connection(n, clientISN+1, serverISN+1, flagACK) })
	return opened, monotonic(), err
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
		return s.reply(serverISN, clientISN+1, flagSYN|flagACK), true
	case s.flags&flagSYN != 0:
		return s.reply(clientISN+1, serverISN+1, flagACK), true
	case e.Open == 0:
		return s.reply(serverISN+1, clientISN+1, flagACK), true
	default:
		e.confirm(s)
	}
	return segment{}, false
}

// confirm notes that what this end sent on a connection came to the server's, and
// so through the gateway.
func (e *end) confirm(s segment) {
	n := connectionOf(s.dst.Port(), s.src.Addr())
	if n >= 0 && n < len(e.confirmed) && !e.confirmed[n].Swap(true) {
		e.count.Add(1)
	}
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

const (
	// confirmTries is how often a segment is sent that nothing comes back for.
	confirmTries = 20
	// window is how many segments may be under way: as many as keep a gateway busy,
	// and fewer than its shortest queue holds, the 500 of a TUN interface (tun.c).
	window = 256
	// lossTimeout is after how long a segment under way is taken for lost.
	lossTimeout = 20 * time.Millisecond
)

// exchangeAll sends each connection's segment and again, until the server has
// answered to all of them.
func (e *end) exchangeAll(of func(n int) segment) error {
	for n := range e.confirmed {
		e.confirmed[n].Store(false)
	}
	e.count.Store(0)
	for range confirmTries {
		if err := e.sendUnconfirmed(of); err != nil {
			return err
		}
		if e.awaitCount(int64(e.Open)) {
			return nil
		}
	}
	return fmt.Errorf("bench: use connections: %d of %d answer", e.count.Load(), e.Open)
}

func (e *end) sendUnconfirmed(of func(n int) segment) error {
	out, queued, sent := newBatch(segmentLength), 0, e.count.Load()
	for n := range e.Open {
		if !e.confirmed[n].Load() {
			of(n).write(out.frames[queued][:], e.Link)
			queued++
		}
		if queued < batchSize && n < e.Open-1 {
			continue
		}
		if err := e.out.send(out, queued); err != nil {
			return err
		}
		sent, queued = sent+int64(queued), 0
		if !e.awaitCount(sent - window) {
			sent = e.count.Load()
		}
	}
	return nil
}

// awaitCount waits until that many connections are confirmed, but not longer than
// lossTimeout.
func (e *end) awaitCount(n int64) bool {
	for deadline := monotonic() + int64(lossTimeout); e.count.Load() < n; time.Sleep(20 * time.Microsecond) {
		if monotonic() > deadline {
			return false
		}
	}
	return true
}
