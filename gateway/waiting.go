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
	side  nexthop.Side
	until int64
}

// add keeps a copy of the frame; false when there is no room.
func (r *waitingRoom) add(frame []byte, dst packet.Addr, side nexthop.Side, now int64) bool {
	if len(r.frames) >= maxWaiting || r.bytes+len(frame) > maxWaitingBytes {
		return false
	}
	r.frames = append(r.frames, waitingFrame{append([]byte(nil), frame...), dst, side, now + patience})
	r.bytes += len(frame)
	return true
}

// takeAll empties the room.
func (r *waitingRoom) takeAll() []waitingFrame {
	all := r.frames
	r.frames, r.bytes = nil, 0
	return all
}

// release sends on what can go by now, keeps what may still, and drops the rest.
func (c *control) release() error {
	c.mu.Lock()
	all := c.waiting.takeAll()
	c.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	for _, f := range all {
		c.retry(f)
	}
	return c.write()
}

func (c *control) retry(f waitingFrame) {
	hop, status := c.port.Router.Hop(f.dst, f.side)
	verdict := DropUnresolved
	switch {
	case status == nexthop.Resolved:
		copy(f.frame[c.layout.Vnet:c.layout.headroom], hop.Ether[:])
		c.frames[f.side] = append(c.frames[f.side], f.frame)
		return
	case status == nexthop.Unresolved && c.now() < f.until:
		c.mu.Lock()
		c.waiting.frames = append(c.waiting.frames, f)
		c.waiting.bytes += len(f.frame)
		c.mu.Unlock()
		return
	case status != nexthop.Unresolved:
		verdict = statusVerdict[status]
	}
	c.mu.Lock()
	c.counters.Verdicts[verdict]++
	c.mu.Unlock()
}
