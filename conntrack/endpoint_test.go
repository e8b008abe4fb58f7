package conntrack

import (
	"tidegate/packet"

	"pgregory.net/rapid"
)

// endpoint is one end of a TCP connection, slow and by the book (RFC 9293 §3.10):
// it counts bytes and keeps none. What arrives out of order it drops.
type endpoint struct {
	una, nxt, max  uint32 // SND.UNA, SND.NXT, and the highest SND.NXT there has been
	edge           uint32 // SND.UNA + SND.WND at its best
	rcv            uint32 // RCV.NXT
	said           uint32 // the last acknowledgment sent
	buffer, unread uint32 // bytes
	promised       uint32 // the right edge of the window, which never moves back
	scale          int8   // its own window scale, −1 for none
	scaled         bool   // both have one
	fin            bool   // FIN has been sent: max includes it
	got            bool   // FIN has arrived
	inbox          []packet.Parsed
}

// window is what goes into the header.
func (e *endpoint) window() uint16 {
	room := max(e.buffer-e.unread, e.promised-e.rcv)
	if !e.scaled {
		return uint16(min(room, 65535))
	}
	return uint16(min(room>>e.scale, 65535))
}

// segment makes one of n bytes, and moves SND.NXT on.
func (e *endpoint) segment(flags uint8, seq uint32, n int) packet.Parsed {
	p := *segment(flags|packet.ACK, seq, e.rcv, n)
	p.Window = e.window()
	w := uint32(p.Window)
	if e.scaled {
		w <<= e.scale
	}
	e.promised = e.rcv + max(w, e.promised-e.rcv)
	e.said = e.rcv
	if end := seq + p.Len(); after(end, e.max) {
		e.max = end
	}
	return p
}

// receive takes a segment in and says whether an ACK is due.
func (e *endpoint) receive(p *packet.Parsed, scale int8) bool {
	if after(p.Ack, e.una) && !after(p.Ack, e.max) {
		e.una = p.Ack
	}
	w := uint32(p.Window)
	if e.scaled {
		w <<= scale
	}
	if edge := p.Ack + w; after(edge, e.edge) {
		e.edge = edge
	}
	if after(e.una, e.nxt) {
		e.nxt = e.una
	}
	return e.take(p)
}

func (e *endpoint) take(p *packet.Parsed) bool {
	end := p.Seq + p.Len()
	if p.Len() == 0 {
		return after(e.rcv, p.Seq) // a keepalive asks
	}
	if after(p.Seq, e.rcv) || !after(end, e.rcv) {
		return true
	}
	fresh := min(end-e.rcv, e.promised-e.rcv)
	if p.Flags&packet.FIN != 0 && fresh == end-e.rcv {
		e.got = true
	}
	e.rcv += fresh
	e.unread = min(e.unread+fresh, e.buffer)
	return true
}

// conn is two endpoints, the Table between them and what is lost on the way.
type conn struct {
	table *Table
	ref   Ref
	now   int64
	ends  [2]*endpoint
}

func newConn(t *rapid.T, table *Table) *conn {
	c := &conn{table: table}
	first := rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(0, 3), rapid.Uint32Min(1<<32-100_000), rapid.Uint32Range(1<<31-100_000, 1<<31+3))
	for d := range c.ends {
		isn := first.Draw(t, "first")
		c.ends[d] = &endpoint{
			una: isn, nxt: isn, max: isn, edge: isn,
			scale:  int8(rapid.IntRange(-1, 14).Draw(t, "scale")),
			buffer: rapid.Uint32Range(1<<14, 4<<20).Draw(t, "buffer"), // at least one unit of the largest scale
		}
	}
	a, b := c.ends[Original], c.ends[Reply]
	a.scaled = a.scale >= 0 && b.scale >= 0
	b.scaled = a.scaled
	c.ref = insert(t, table, admission(packet.TCP, 1, resets), 0)
	c.open(t)
	return c
}

// open is the handshake, of which each segment may have to be sent twice.
func (c *conn) open(t *rapid.T) {
	twice := func(d Direction, p packet.Parsed) {
		for range rapid.IntRange(1, 2).Draw(t, "times") {
			c.pass(d, &p)
		}
	}
	a, b := c.ends[Original], c.ends[Reply]
	syn := segment(packet.SYN, a.nxt, 0, 0)
	syn.WScale = a.scale
	twice(Original, *syn)
	synAck := segment(packet.SYN|packet.ACK, b.nxt, a.nxt+1, 0)
	synAck.WScale = b.scale
	twice(Reply, *synAck)
	for d, e := range c.ends {
		e.una, e.nxt, e.max = e.nxt+1, e.nxt+1, e.nxt+1
		peer := c.ends[d^1]
		e.edge = e.una + min(peer.buffer, 65535)
		peer.promised = e.edge
	}
	a.rcv, b.rcv = b.nxt, a.nxt
	b.said = b.rcv
	twice(Original, a.segment(0, a.nxt, 0))
}

// pass has the segment seen by the Table, and nobody else.
func (c *conn) pass(d Direction, p *packet.Parsed) {
	c.now += 1000
	c.table.Observe(c.ref|Ref(d), p, 1, c.now)
}

// send passes a segment on to the other end, where it waits.
func (c *conn) send(d Direction, p packet.Parsed) {
	c.pass(d, &p)
	c.ends[d^1].inbox = append(c.ends[d^1].inbox, p)
}

// deliver has an end take the i-th segment that waits for it.
func (c *conn) deliver(d Direction, i int) {
	e := c.ends[d]
	p := e.inbox[i]
	e.inbox = append(e.inbox[:i], e.inbox[i+1:]...)
	if e.receive(&p, c.ends[d^1].scale) {
		c.send(d, e.segment(0, e.nxt, 0))
	}
}

// flush delivers all that waits at one end.
func (c *conn) flush(d Direction) {
	for len(c.ends[d].inbox) > 0 {
		c.deliver(d, 0)
	}
}

// data sends up to n bytes of new data: as many as the other end's window takes,
// and where that is closed one more to ask (RFC 9293 §3.8.6.1).
func (c *conn) data(d Direction, n int) {
	e := c.ends[d]
	if e.fin {
		return
	}
	room := 0
	if after(e.edge, e.nxt) {
		room = int(e.edge - e.nxt)
	} else if e.una == e.nxt {
		room = 1
	}
	if n = min(n, room); n > 0 {
		p := e.segment(0, e.nxt, n)
		e.nxt += uint32(n)
		c.send(d, p)
	}
}

// resend sends again what the other end has not acknowledged, in one segment of
// at most n bytes.
func (c *conn) resend(d Direction, n int) {
	e := c.ends[d]
	n = min(n, int(e.max-e.una))
	if n == 0 {
		return
	}
	flags := uint8(0)
	if e.fin && e.una+uint32(n) == e.max {
		flags, n = packet.FIN, n-1
	}
	c.send(d, e.segment(flags, e.una, n))
}

func (c *conn) close(d Direction) {
	e := c.ends[d]
	if e.fin || e.una != e.max {
		return
	}
	p := e.segment(packet.FIN, e.nxt, 0)
	e.nxt++
	e.fin = true
	c.send(d, p)
}

// settle lets both talk without loss until nothing is left to say.
func (c *conn) settle(t *rapid.T) {
	for range 1000 {
		for d, e := range c.ends {
			e.unread = 0
			c.send(Direction(d), e.segment(0, e.nxt, 0))
			c.resend(Direction(d), 1<<20)
		}
		for len(c.ends[0].inbox)+len(c.ends[1].inbox) > 0 {
			c.flush(Original)
			c.flush(Reply)
		}
		if a, b := c.ends[0], c.ends[1]; a.una == a.max && b.una == b.max {
			return
		}
	}
	t.Fatalf("the ends don't come to rest: %+v %+v", c.ends[0], c.ends[1])
}
