package main

import (
	"encoding/binary"
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

	endPort = 443
)

// Bits of a TCP header's flags (RFC 9293 §3.1).
const (
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// segment is a TCP segment without options and bytes.
type segment struct {
	src, dst netip.AddrPort
	seq, ack uint32
	flags    byte
}

const segmentLength = ethernetLength + ipLength + tcpLength

// write makes f, of segmentLength bytes, the segment's frame.
func (s segment) write(f []byte, l link) {
	tcp := writeHeaders(f, l, protocolTCP, s.src.Addr(), s.dst.Addr(), ipLength+tcpLength)
	clear(tcp)
	binary.BigEndian.PutUint16(tcp[0:], s.src.Port())
	binary.BigEndian.PutUint16(tcp[2:], s.dst.Port())
	binary.BigEndian.PutUint32(tcp[4:], s.seq)
	binary.BigEndian.PutUint32(tcp[8:], s.ack)
	tcp[12], tcp[13] = tcpLength/4<<4, s.flags
	binary.BigEndian.PutUint16(tcp[14:], 0xffff) // window
	binary.BigEndian.PutUint16(tcp[16:], ^fold(pseudoSum(protocolTCP, s.src.Addr(), s.dst.Addr(), tcp)))
}

// readSegment reads a frame, if that is what it holds.
func readSegment(f []byte) (s segment, ok bool) {
	if len(f) < segmentLength || binary.BigEndian.Uint16(f[12:]) != 0x0800 || f[14] != 0x45 || f[23] != protocolTCP {
		return s, false
	}
	ip, tcp := f[ethernetLength:], f[ethernetLength+ipLength:]
	s.src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:])), binary.BigEndian.Uint16(tcp[0:]))
	s.dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:])), binary.BigEndian.Uint16(tcp[2:]))
	s.seq, s.ack, s.flags = binary.BigEndian.Uint32(tcp[4:]), binary.BigEndian.Uint32(tcp[8:]), tcp[13]
	return s, true
}

// reply returns a segment in answer to s.
func (s segment) reply(seq uint32, flags byte) segment {
	return segment{src: s.dst, dst: s.src, seq: seq, ack: s.seq + 1, flags: flags}
}

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
const calm = 3 * time.Second

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

// connectionKey tells connections apart at either end: the far address, and the port
// that the other side is known by.
func connectionKey(s segment) netip.AddrPort {
	if farPrefix.Contains(s.src.Addr()) {
		return netip.AddrPortFrom(s.src.Addr(), s.dst.Port())
	}
	return netip.AddrPortFrom(s.dst.Addr(), s.src.Port())
}

// connection returns the client's segment of connection n.
func connection(n int, seq, ack uint32, flags byte) segment {
	var to [4]byte
	binary.BigEndian.PutUint32(to[:], flowDestination(uint64(n)))
	return segment{
		src: netip.AddrPortFrom(craftedAddr, flowPort(uint64(n))),
		dst: netip.AddrPortFrom(netip.AddrFrom4(to), endPort),
		seq: seq, ack: ack, flags: flags,
	}
}

// connectionOf is the inverse of connection: n by the client's port and the far address.
func connectionOf(port uint16, far netip.Addr) int {
	a := far.As4()
	destination := int(binary.BigEndian.Uint32(a[:])) - int(flowDestination(0))
	return destination*portsOfDestination + int(port) - firstPort
}

// openTries is how often a SYN is sent to a server that does not answer.
const openTries = 10

// open opens all connections.
func (e *end) open() error {
	for range openTries {
		unopened := func(n int) bool { return !e.opened[n].Load() }
		err := e.sendEach(unopened, func(n int) segment { return connection(n, clientISN, 0, flagSYN) })
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
	err := e.sendEach(all, func(n int) segment { return connection(n, clientISN+1, serverISN+1, flagACK) })
	return monotonic(), err
}

// openRate is one at which every gateway takes SYN, SYN-ACK and ACK without loss.
const openRate = 50_000 // segments per second

// sendEach sends a segment for each connection that is chosen.
func (e *end) sendEach(chosen func(n int) bool, of func(n int) segment) error {
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
		pace(start, uint64(sent), openRate)
	}
	return nil
}
