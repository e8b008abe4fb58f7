package gateway

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"unsafe"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
)

// Sighting is one packet as the gateway has seen it: as it came, or as it leaves.
type Sighting struct {
	At      int64        // on the gateway's clock: when its batch had been read, or when it was written
	After   bool         // as it leaves; else as it came
	Side    nexthop.Side // which it leaves by, or came from
	Verdict Verdict      // on the packet; of one of the gateway's own, on what it answers, Reset or Forwarded if that is nothing
	Own     bool         // the gateway has made it
	Cause   string       // why it has: a conntrack.Reason, "keepalive", or the Verdict on what it answers

	Known bool           // it is of a flow
	Flow  conntrack.Flow // which, as it stands after this packet, or stood when it ended

	Length int    // of the IP packet, bytes
	Packet []byte // the IP packet; Match is shown all of it, the receiver as much as TapOptions.Snaplen
}

// TapOptions say what is seen through a Tap.
type TapOptions struct {
	// Match chooses; nil takes everything. It runs under the gateway's lock, for every
	// packet: it may not block, nor keep the Sighting or its Packet.
	Match   func(*Sighting) bool
	Snaplen int // bytes of each packet that are kept, at least 1; 65535 is all of all
	Buffer  int // bytes of memory, 256 KiB if it is less; what comes while it is full is lost
}

// maxTaps bounds what all that look on cost the packets.
const maxTaps = 8

// minTapBuffer has room for one packet of every size.
const minTapBuffer = 256 << 10

// Tap shows one receiver the packets that match, from Gateway.Tap until Close. It
// never delays a packet: what its buffer can't hold is lost, and counted.
type Tap struct {
	gateway *Gateway
	TapOptions
	wake   chan struct{} // holds one when there is something to be had
	closed chan struct{}
	close  sync.Once
	given  store // the receiver's, until it asks for more

	// Under the gateway's lock:
	filling store
	lost    [2]uint64
}

// store is sightings and the bytes of their packets, in memory of a fixed size.
type store struct {
	sightings []Sighting
	bytes     []byte
}

// newStore takes about so many bytes of memory: as many packets of average size as
// it has room to describe.
func newStore(size int) store {
	return store{make([]Sighting, 0, size/4/int(unsafe.Sizeof(Sighting{}))), make([]byte, 0, size-size/4)}
}

// taps are those who look on. All is under the gateway's lock.
type taps struct {
	all    []*Tap
	seen   Sighting // the one being shown
	came   []byte   // the packet at hand as it came, in its frame
	before [2]int   // how many frames were to be written before it was decided on
	whole  []byte   // a packet with the checksum that a device is to complete
}

// Tap begins to show packets. At most eight may do so at once; no more is an error.
func (g *Gateway) Tap(o TapOptions) (*Tap, error) {
	if o.Match == nil {
		o.Match = func(*Sighting) bool { return true }
	}
	size := max(o.Buffer, minTapBuffer) / 2
	t := &Tap{
		gateway: g, TapOptions: o, wake: make(chan struct{}, 1), closed: make(chan struct{}),
		filling: newStore(size), given: newStore(size),
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.taps.all) >= maxTaps {
		return nil, fmt.Errorf("gateway: tap: %d look on already; end one of them", maxTaps)
	}
	g.taps.all = append(g.taps.all, t)
	return t, nil
}

// Close ends it: nothing more is seen. What was seen before can still be had.
func (t *Tap) Close() {
	t.close.Do(func() {
		t.gateway.mu.Lock()
		defer t.gateway.mu.Unlock()
		all := t.gateway.taps.all
		t.gateway.taps.all = slices.DeleteFunc(slices.Clone(all), func(o *Tap) bool { return o == t })
		close(t.closed)
	})
}

// Next waits for packets and returns those seen since it was last called, in order:
// one that came is followed by what became of it. They and their bytes are the
// receiver's until it calls Next again. The error is ctx's, or io.EOF after Close. One
// goroutine at a time may call it.
func (t *Tap) Next(ctx context.Context) ([]Sighting, error) {
	for {
		if t.swap(); len(t.given.sightings) > 0 {
			return t.given.sightings, nil
		}
		select {
		case <-t.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-t.closed:
			if t.swap(); len(t.given.sightings) == 0 {
				return nil, io.EOF
			}
			return t.given.sightings, nil
		}
	}
}

func (t *Tap) swap() {
	t.given.sightings, t.given.bytes = t.given.sightings[:0], t.given.bytes[:0]
	t.gateway.mu.Lock()
	defer t.gateway.mu.Unlock()
	t.filling, t.given = t.given, t.filling
}

// Lost returns how many packets matched and did not fit into the buffer: as they came,
// and as they left.
func (t *Tap) Lost() (before, after uint64) {
	t.gateway.mu.Lock()
	defer t.gateway.mu.Unlock()
	return t.lost[0], t.lost[1]
}

// keep copies a sighting for the receiver, if it fits.
func (t *Tap) keep(s *Sighting) {
	f, n := &t.filling, min(s.Length, t.Snaplen)
	at := len(f.bytes)
	if len(f.sightings) == cap(f.sightings) || at+n > cap(f.bytes) {
		lost := &t.lost[0]
		if s.After {
			lost = &t.lost[1]
		}
		*lost++
		return
	}
	f.bytes = append(f.bytes, s.Packet[:n]...)
	f.sightings = append(f.sightings, *s)
	f.sightings[len(f.sightings)-1].Packet = f.bytes[at : at+n : at+n]
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// show offers a packet in its frame to all who look on.
func (t *taps) show(s *Sighting, frame []byte, l layout) {
	s.Packet = unpadded(frame[min(l.headroom, len(frame)):])
	s.Length = len(s.Packet)
	finished := false
	for _, tap := range t.all {
		if !tap.Match(s) {
			continue
		}
		if !finished {
			s.Packet, finished = t.finish(s.Packet, frame, l), true
		}
		tap.keep(s)
	}
}

// finish returns a packet as it is on the wire: with the checksum that is left to a
// device, which must not be in the frame yet.
func (t *taps) finish(b, frame []byte, l layout) []byte {
	if l.Vnet == 0 || len(frame) < l.headroom || frame[vnetFlags]&vnetNeedsCsum == 0 {
		return b
	}
	t.whole = append(t.whole[:0], b...)
	var p packet.Parsed
	if packet.Decode(t.whole, &p) == packet.FaultNone {
		start := int(binary.NativeEndian.Uint16(frame[vnetCsumStart:])) - l.Link
		packet.FinishChecksum(t.whole, &p, start, start+int(binary.NativeEndian.Uint16(frame[vnetCsumAt:])))
	}
	return t.whole
}

// unpadded returns an IP packet without what its link has added behind it.
func unpadded(b []byte) []byte {
	if len(b) < 20 || b[0]>>4 != 4 {
		return b
	}
	if total := int(binary.BigEndian.Uint16(b[2:])); total >= 20 && total < len(b) {
		return b[:total]
	}
	return b
}

// watch notes what is to be decided on, which is rewritten in place.
func (w *worker) watch(frame []byte) {
	w.taps.came = append(w.taps.came[:0], frame...)
	w.taps.before = [2]int{len(w.out[0]), len(w.out[1])}
}

// trace notes which flow the packet at hand is of.
func (w *worker) trace(ref conntrack.Ref) { w.flow, w.traced = ref, true }

// reveal shows what watch has noted, and what is to be written for it.
func (w *worker) reveal(v Verdict, from nexthop.Side, now int64) {
	s := &w.taps.seen
	*s = w.sighting(from, now)
	s.Verdict = v
	w.taps.show(s, w.taps.came, w.layout)
	s.After, s.Own = true, v != Forwarded && v != Waiting
	if s.Own {
		s.Cause = v.String()
	}
	for side := range w.out {
		s.Side = nexthop.Side(side)
		for _, frame := range w.out[side][w.taps.before[side]:] {
			w.taps.show(s, frame, w.layout)
		}
	}
}

// sighting is of the packet at hand.
func (w *worker) sighting(side nexthop.Side, now int64) Sighting {
	s := Sighting{At: now, Side: side, Known: w.traced}
	if s.Known {
		s.Flow = w.table.Flow(w.flow, now)
	}
	return s
}

// reveal shows what is about to be written to a side. It needs the lock.
func (c *control) reveal(side nexthop.Side) {
	if len(c.taps.all) == 0 {
		return
	}
	now := c.now()
	for i, frame := range c.frames[side] {
		s := &c.sights[side][i]
		s.At, s.After, s.Side = now, true, side
		c.taps.show(s, frame, c.layout)
	}
}
