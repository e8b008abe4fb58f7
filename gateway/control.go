package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
)

const (
	// sweepEvery is how often flows are looked at for their end; expiry may be
	// a second late, so this only has to be short beside that.
	sweepEvery = 20 * time.Millisecond

	// sweepBudget is how many flows end under one hold of the lock, and
	// sweepPause what is waited before the next when more are due: a storm of
	// 100,000 flows takes about two seconds, in steps that forwarding hardly feels.
	sweepBudget = 48
	sweepPause  = 500 * time.Microsecond
)

// control does what no packet asks for: it ends idle flows, resets their ends,
// and sends packets on whose neighbour has become known.
type control struct {
	*Gateway
	port   Port
	layout layout
	next   int64 // when the log may name members without ports again

	sending sync.Mutex // the queues and all below: kill comes from other goroutines
	frames  [2][][]byte
	sights  [2][]Sighting // of what is in frames
}

func newControl(g *Gateway, p Port) *control {
	return &control{Gateway: g, port: p, layout: newLayout(p.Writers[nexthop.Outside].Layout())}
}

func (c *control) run(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	ended := make([]conntrack.Ended, 0, sweepBudget)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.changed:
		case <-c.balance.wake:
		case <-ticker.C:
		}
		if err := c.sweep(ctx, ended); err != nil {
			return err
		}
		c.reportExhaustion()
	}
}

// sweep ends all flows whose time is up, a few at a time, and between the steps
// lets go what waited for a neighbour and takes backends out that have gone down.
func (c *control) sweep(ctx context.Context, buf []conntrack.Ended) error {
	for more := true; more && ctx.Err() == nil; {
		if err := errors.Join(c.release(), c.rebalance()); err != nil {
			return err
		}
		var ended []conntrack.Ended
		ended, more = c.expire(buf)
		if err := c.resetAll(ended); err != nil {
			return err
		}
		if more {
			time.Sleep(sweepPause)
		}
	}
	return nil
}

func (c *control) expire(buf []conntrack.Ended) (ended []conntrack.Ended, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.counters.Verdicts[DropFragment] += uint64(c.fragments.Expire(now))
	ended, more = c.table.Sweep(now, buf)
	for i := range ended {
		if !ended[i].Doubtful() {
			c.settle(&ended[i], now)
		}
	}
	return ended, more
}

// resetAll sends every flow that wants it its resets, and every doubtful one its
// questions.
func (c *control) resetAll(ended []conntrack.Ended) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	for i := range ended {
		e := &ended[i]
		c.logQuestion(e)
		for to := conntrack.Original; to <= conntrack.Reply; to++ {
			if e.Reset {
				c.reset(e, to)
			}
			if e.Ask[to] {
				c.ask(e, to)
			}
		}
	}
	return c.write()
}

// ask makes the keepalive for one end of a flow: the last byte that it has
// acknowledged once more, which it has to answer (RFC 9293 §3.8.4). What it is told
// is acknowledged is what the other end has acknowledged, lest it forget data.
func (c *control) ask(e *conntrack.Ended, to conntrack.Direction) {
	dst, inside := e.Course(to)
	c.put(&packet.Segment{
		Tuple: e.Tuple[to].Reverse(),
		Seq:   e.MaxAck[to] - 1, Ack: e.MaxAck[to^1], Flags: packet.ACK, Window: 0xffff,
	}, dst, &Sighting{Side: sideOf(inside), Own: true, Cause: "keepalive", Known: true, Flow: e.Flow})
}

// reset makes the RST for one end of a flow: with the number it acknowledged
// last, which is what it expects next, and if what was sent to it last was never
// acknowledged past us, a second one with the number it expects in case it came.
func (c *control) reset(e *conntrack.Ended, to conntrack.Direction) {
	from := to ^ 1
	s := packet.Segment{
		Tuple: e.Tuple[to].Reverse(),
		Seq:   e.MaxAck[to], Ack: e.MaxEnd[to], Flags: packet.RST | packet.ACK,
	}
	dst, inside := e.Course(to)
	sight := Sighting{Side: sideOf(inside), Verdict: Reset, Own: true, Cause: e.Reason.String(), Known: true, Flow: e.Flow}
	c.put(&s, dst, &sight)
	if e.MaxEnd[from] != e.MaxAck[to] {
		s.Seq = e.MaxEnd[from]
		c.put(&s, dst, &sight)
	}
}

// put adds a segment to what is written next, or has it wait for its neighbour.
func (c *control) put(s *packet.Segment, dst packet.Addr, sight *Sighting) {
	s.ID = c.nextID()
	f := make([]byte, c.layout.headroom+packet.SegmentLen)
	packet.PutSegment(f[c.layout.headroom:], s)
	c.dispatch(f, dst, sight)
}

// dispatch puts the link header on a frame and queues it for writing.
func (c *control) dispatch(f []byte, dst packet.Addr, sight *Sighting) {
	hop, status := c.port.Router.Hop(dst, sight.Side)
	if status == nexthop.Resolved {
		copy(f[c.layout.Vnet:c.layout.headroom], hop.Ether[:])
		c.queue(f, sight)
		return
	}
	verdict := statusVerdict[status]
	c.mu.Lock()
	defer c.mu.Unlock()
	if verdict == Waiting {
		c.port.Router.Solicit(dst)
		if c.waiting.add(f, dst, *sight, c.now()) {
			return
		}
		verdict = DropUnresolved
	}
	c.counters.Verdicts[verdict]++
}

// queue has a frame written next.
func (c *control) queue(f []byte, sight *Sighting) {
	c.frames[sight.Side] = append(c.frames[sight.Side], f)
	c.sights[sight.Side] = append(c.sights[sight.Side], *sight)
}

func (c *control) write() error {
	for side := range c.frames {
		if len(c.frames[side]) == 0 {
			continue
		}
		c.countWritten(nexthop.Side(side))
		if _, err := c.port.Writers[side].WriteBatch(c.frames[side]); err != nil {
			return err
		}
		c.frames[side], c.sights[side] = c.frames[side][:0], c.sights[side][:0]
	}
	return nil
}

func (c *control) countWritten(side nexthop.Side) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counters.countOut(side, c.frames[side], c.layout.headroom)
	c.reveal(side)
}

// logQuestion says whom a keepalive was sent to; ends are told by the journal.
func (c *control) logQuestion(e *conntrack.Ended) {
	if e.Doubtful() && c.log.Enabled(context.Background(), slog.LevelDebug) {
		c.log.Debug("flow asked", "rule", c.Rules()[e.Rule].Name, "flow", e.Tuple[0].String(), "client", e.Ask[0], "server", e.Ask[1])
	}
}
