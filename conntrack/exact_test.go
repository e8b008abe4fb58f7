package conntrack

import (
	"testing"

	"tidegate/packet"

	"pgregory.net/rapid"
)

// TestExact compares the numbers that resets are made of with what two endpoints
// know, while segments are lost, repeated and reordered between the gateway and
// its ends, and strangers guess.
func TestExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := newTable(t, 1, 0)
		c := newConn(t, table)
		t.Repeat(map[string]func(*rapid.T){
			"data": c.drawData, "more data": c.drawData, "deliver": c.drawDeliver, "deliver more": c.drawDeliver,
			"lose": c.drawLoss, "ack": c.drawAck, "resend": c.drawResend, "repeat": c.drawRepeat,
			"keepalive": c.drawKeepalive, "read": c.drawRead, "stranger": c.drawStranger, "flush": c.drawFlush,
			"": c.compare,
		})
		c.settle(t)
		c.compareRest(t)
		c.finish(t)
	})
}

// compare holds at every moment: all that the ends send passes the Table.
func (c *conn) compare(t *rapid.T) {
	f := c.table.Flow(c.ref, c.now)
	if f.State != Established {
		t.Fatalf("state %v", f.State)
	}
	for d, e := range c.ends {
		if f.MaxEnd[d] != e.max {
			t.Fatalf("end %d has sent up to %d, the table has %d", d, e.max, f.MaxEnd[d])
		}
		if f.MaxAck[d] != e.said {
			t.Fatalf("end %d has acknowledged up to %d, the table has %d", d, e.said, f.MaxAck[d])
		}
	}
}

// compareRest holds when nothing is under way.
func (c *conn) compareRest(t *rapid.T) {
	c.compare(t)
	f := c.table.Flow(c.ref, c.now)
	for d, e := range c.ends {
		if peer := c.ends[d^1]; f.MaxAck[d] != e.rcv || f.MaxEnd[d] != e.nxt || e.nxt != peer.rcv {
			t.Fatalf("at rest: end %d expects %d and has sent up to %d, the table has %+v", d, e.rcv, e.nxt, f)
		}
	}
}

// finish closes both ends, with some segments sent again.
func (c *conn) finish(t *rapid.T) {
	first := c.drawEnd(t)
	c.close(first)
	c.resend(first, 1)
	if s := c.table.State(c.ref); s != FinWait {
		t.Fatalf("after FIN: %v", s)
	}
	c.data(first^1, 1000)
	c.settle(t)
	c.close(first ^ 1)
	c.settle(t)
	if s := c.table.State(c.ref); s != TimeWait {
		t.Fatalf("after both FINs: %v", s)
	}
}

func (c *conn) drawEnd(t *rapid.T) Direction { return Direction(rapid.IntRange(0, 1).Draw(t, "end")) }

func (c *conn) drawData(t *rapid.T) {
	n := rapid.OneOf(rapid.IntRange(1, 1460), rapid.IntRange(1, 65495), rapid.IntRange(1, 1<<20))
	c.data(c.drawEnd(t), n.Draw(t, "length"))
}

// drawDeliver takes segments in any order, but mostly in theirs.
func (c *conn) drawDeliver(t *rapid.T) {
	d := c.drawEnd(t)
	if n := len(c.ends[d].inbox); n > 0 {
		c.deliver(d, min(rapid.SampledFrom([]int{0, 0, 0, 1, n - 1}).Draw(t, "which"), n-1))
	}
}

func (c *conn) drawLoss(t *rapid.T) {
	if e := c.ends[c.drawEnd(t)]; len(e.inbox) > 0 {
		i := rapid.IntRange(0, len(e.inbox)-1).Draw(t, "which")
		e.inbox = append(e.inbox[:i], e.inbox[i+1:]...)
	}
}

func (c *conn) drawFlush(t *rapid.T) { c.flush(c.drawEnd(t)) }

func (c *conn) drawAck(t *rapid.T) {
	d := c.drawEnd(t)
	c.send(d, c.ends[d].segment(0, c.ends[d].nxt, 0))
}

func (c *conn) drawResend(t *rapid.T) {
	c.resend(c.drawEnd(t), rapid.IntRange(1, 100_000).Draw(t, "length"))
}

// drawRepeat passes a segment once more that is still under way: duplicated
// before the gateway, and by now perhaps old.
func (c *conn) drawRepeat(t *rapid.T) {
	d := c.drawEnd(t)
	if e := c.ends[d]; len(e.inbox) > 0 {
		c.send(d^1, rapid.SampledFrom(e.inbox).Draw(t, "segment"))
	}
}

func (c *conn) drawKeepalive(t *rapid.T) {
	d := c.drawEnd(t)
	e := c.ends[d]
	c.send(d, e.segment(0, e.nxt-1, rapid.IntRange(0, 1).Draw(t, "bytes")))
}

func (c *conn) drawRead(t *rapid.T) {
	e := c.ends[c.drawEnd(t)]
	e.unread = rapid.Uint32Range(0, e.unread).Draw(t, "left")
}

// drawStranger guesses one number well at most: a window is 4 MB, and 1 GB where
// it could be scaled most.
func (c *conn) drawStranger(t *rapid.T) {
	d := c.drawEnd(t)
	wild := rapid.Uint32Range(1<<30+1<<27, 1<<32-1<<30-1<<27)
	near := rapid.Uint32Range(0, 1000)
	seq, ack := wild, wild
	switch rapid.IntRange(0, 2).Draw(t, "guess") {
	case 1:
		seq = near
	case 2:
		ack = near
	}
	p := segment(packet.ACK|uint8(rapid.SampledFrom([]int{0, packet.FIN}).Draw(t, "FIN")),
		c.ends[d].max+seq.Draw(t, "seq"), c.ends[d^1].max-ack.Draw(t, "ack"), rapid.IntRange(0, 1460).Draw(t, "length"))
	p.Window = rapid.Uint16().Draw(t, "window")
	c.pass(d, p)
}
