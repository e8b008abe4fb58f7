package gateway

import (
	"time"

	"tidegate/nexthop"
	"tidegate/packet"
)

const (
	// maxWaiting bounds the packets that wait for neighbours, and maxWaitingBytes
	// their size: a burst to a few new neighbours, as much as the kernel keeps
	// for one (unres_qlen_bytes), times sixteen.
	maxWaiting      = 1024
	maxWaitingBytes = 4 << 20

	// maxForOne bounds the packets to one destination, so that a host which is
	// gone takes no room from others: about as many as the kernel keeps.
	maxForOne = 128

	// patience is how long a packet waits: as long as the kernel asks before it
	// calls a neighbour unreachable (mcast_solicit 3 × retrans_time 1 s).
	patience = int64(3 * time.Second)
)

// waitingRoom holds translated frames whose next hop is still to be resolved.
type waitingRoom struct {
	frames []waitingFrame
	bytes  int
}

type waitingFrame struct {
	frame []byte
	dst   packet.Addr
	sight Sighting // of the packet when it leaves, and the side that it does by
	until int64
}

// fits says whether there is room for a frame of n bytes to dst.
func (r *waitingRoom) fits(n int, dst packet.Addr) bool {
	return len(r.frames) < maxWaiting && r.bytes+n <= maxWaitingBytes && r.to(dst) < maxForOne
}

// add keeps a copy of the frame, if it fits.
func (r *waitingRoom) add(frame []byte, dst packet.Addr, sight Sighting, now int64) bool {
	if !r.fits(len(frame), dst) {
		return false
	}
	r.frames = append(r.frames, waitingFrame{append([]byte(nil), frame...), dst, sight, now + patience})
	r.bytes += len(frame)
	return true
}

// to returns how many packets to dst wait.
func (r *waitingRoom) to(dst packet.Addr) (n int) {
	for i := range r.frames {
		if r.frames[i].dst == dst {
			n++
		}
	}
	return n
}

// release sends on what can go by now, keeps what may still, and drops the rest.
func (c *control) release() error {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.lookThrough()
	return c.write()
}

// lookThrough holds the lock all the while, so that what begins to wait meanwhile
// stays behind what waits. What comes after its neighbour was resolved does not
// wait, and may overtake.
func (c *control) lookThrough() {
	c.mu.Lock()
	defer c.mu.Unlock()
	room, all := &c.waiting, c.waiting.frames
	room.frames, room.bytes = all[:0], 0
	for _, f := range all {
		switch v := c.retry(&f); {
		case v == Waiting:
			room.frames = append(room.frames, f)
			room.bytes += len(f.frame)
		case v.Drop():
			c.counters.Verdicts[v]++
		}
	}
	clear(all[len(room.frames):])
}

// retry queues the frame for writing, or says what else becomes of it.
func (c *control) retry(f *waitingFrame) Verdict {
	hop, status := c.port.Router.Hop(f.dst, f.sight.Side)
	switch {
	case status == nexthop.Resolved:
		copy(f.frame[c.layout.Vnet:c.layout.headroom], hop.Ether[:])
		frames := c.fitting(f.frame, hop.MTU)
		if len(frames) == 0 {
			return DropTooBig // its sender learns by the next one
		}
		for _, frame := range frames {
			c.queue(frame, &f.sight)
		}
	case status == nexthop.Unresolved && c.now() >= f.until:
		return DropUnresolved
	}
	return statusVerdict[status]
}

// fitting returns a translated frame as its link takes it, whose MTU was not known
// when it began to wait; nothing if the link does not take it.
func (c *control) fitting(frame []byte, mtu int) [][]byte {
	var p packet.Parsed
	b := frame[c.layout.headroom:]
	if packet.Decode(b, &p) != packet.FaultNone {
		return nil // can't be: it was decoded when it came
	}
	packet.ClampMSS(b, &p, mtu, c.layout.partial(frame, &p))
	wires, largest := c.layout.segments(frame, &p)
	switch {
	case largest <= mtu:
		return [][]byte{frame}
	case wires > 1 || p.DF:
		return nil
	}
	return c.layout.pieces(frame, &p, mtu)
}
