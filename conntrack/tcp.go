package conntrack

import "tidegate/packet"

// minWindow stands in for a window that is not known yet or smaller: what a
// sender may have in flight without window scaling.
const minWindow = 65535

// maxSynPayload bounds the data a SYN may carry, of which the answer need not
// acknowledge any (RFC 7413 §3): one segment of a jumbo frame.
const maxSynPayload = 9000

// Observe notes that the packet in p went in direction r: packets on the wire
// (more than one for a super-packet), its size in bytes, and for TCP what it
// says of the connection. now must not go back.
func (t *Table) Observe(r Ref, p *packet.Parsed, packets int, now int64) {
	h := t.half(r)
	h.last = tick(now)
	h.packets += uint64(packets)
	h.bytes += uint64(p.Total)
	if p.Kind == packet.KindTCP {
		t.observeTCP(r, p)
	}
}

func (t *Table) observeTCP(r Ref, p *packet.Parsed) {
	switch {
	case p.Flags&packet.RST != 0:
		t.observeReset(r, p)
	case p.Flags&packet.SYN != 0:
		t.observeSyn(r, p)
	case p.Flags&packet.ACK != 0:
		t.observeSegment(r, p)
	}
}

// observeSyn follows the opening. A SYN to a flow that is open changes nothing:
// the endpoint answers it with a challenge ACK (RFC 5961 §4).
func (t *Table) observeSyn(r Ref, p *packet.Parsed) {
	e := &t.entries[r.slot()]
	me, peer := &e[r.Direction()], &e[r.Direction()^1]
	answers := p.Flags&packet.ACK != 0
	switch state := me.state(); {
	case state == SynSent:
	case state == SynReceived && (answers || r.Direction() == Original): // a bare one could be a stranger's
	case t.reopens(r, p):
		t.restart(r)
	default:
		return
	}
	if answers && peer.maxEnd-p.Ack > maxSynPayload {
		return // not to the SYN that has passed
	}
	me.synchronize(p)
	if answers {
		me.maxAck = p.Ack
		me.meta |= acked
	}
	if r.Direction() == Reply && me.state() == SynSent {
		t.become(r.slot(), SynReceived)
	}
	t.establish(r.slot())
}

// Begins says whether a segment begins the connection of a flow that nobody has
// answered yet, or begins it anew on one that is over.
func (t *Table) Begins(r Ref, p *packet.Parsed) bool {
	if p.Kind != packet.KindTCP || p.Flags&packet.SYN == 0 {
		return false
	}
	return r.Direction() == Original && t.State(r) == SynSent || t.reopens(r, p)
}

// reopens says whether a SYN begins the connection anew on a flow that is over. Its
// number is not asked for: the end that closed last has no TIME_WAIT, and the other
// may know by timestamps that the SYN is new (RFC 6191). One that was old costs the
// rest of a hold. That a server which is not heard has closed too has to be believed.
func (t *Table) reopens(r Ref, p *packet.Parsed) bool {
	if r.Direction() != Original || p.Flags&packet.ACK != 0 {
		return false
	}
	state := t.State(r)
	return state == Closed || state == TimeWait || state == FinWait && t.oneWay(r.slot())
}

// Spent says whether the flow is over and only held, so that a SYN in its
// original direction with sequence number seq may take its place.
func (t *Table) Spent(r Ref, seq uint32) bool {
	switch h := &t.entries[r.slot()][Original]; h.state() {
	case Closed:
		return true
	case TimeWait:
		return after(seq, h.maxEnd)
	}
	return false
}

func (t *Table) restart(r Ref) {
	for i := range t.entries[r.slot()] {
		h := &t.entries[r.slot()][i]
		h.maxEnd, h.maxAck, h.maxWin, h.wscale = 0, 0, 0, noSyn
		h.meta &^= metaTCP
	}
	t.become(r.slot(), SynSent)
}

// synchronize takes over the number and the window scale of a SYN, unless it is
// the last one sent again: that may lack data (RFC 7413) and options.
func (h *half) synchronize(p *packet.Parsed) {
	if end := p.Seq + p.Len(); h.wscale == noSyn || h.maxEnd-end > minWindow {
		h.maxEnd, h.wscale = end, p.WScale
	}
}

// acknowledge notes what this end has acknowledged: first of all the other's SYN.
func (h *half) acknowledge(ack uint32) {
	if h.meta&acked == 0 || after(ack, h.maxAck) {
		h.maxAck = ack
	}
	h.meta |= acked
}

// establish opens the flow once both SYNs are acknowledged, in whichever order
// that came about (RFC 9293 §3.5: simultaneous open is one of them).
func (t *Table) establish(slot uint32) {
	if e := &t.entries[slot]; e[0].state() == SynReceived && e[0].meta&e[1].meta&acked != 0 {
		t.become(slot, Established)
	}
}

func (t *Table) observeSegment(r Ref, p *packet.Parsed) {
	me, peer := t.half(r), t.half(r^1)
	state := me.state()
	switch {
	case me.meta&special != 0 && r.Direction() == Original && t.oneWay(r.slot()):
		t.observeOneWay(r, p)
		return
	case state < SynReceived:
		return
	case t.plausible(r, p):
	case state == SynReceived && p.Ack == peer.maxEnd:
		me.maxEnd = p.Seq // it knows the number of the other end: the SYN after its own was a stranger's
	default:
		return
	}
	me.acknowledge(p.Ack)
	if state == SynReceived {
		t.establish(r.slot())
	}
	if end := p.Seq + p.Len(); after(end, me.maxEnd) {
		me.maxEnd = end
	}
	me.maxWin = max(me.maxWin, p.Window)
	if p.Flags&packet.FIN != 0 {
		t.finish(r)
	}
}

// oneWay says whether only one direction of the flow comes by here: its backend
// answers the client by another way, or has not answered yet.
func (t *Table) oneWay(slot uint32) bool {
	return t.sides[slot].path&direct != 0 && t.entries[slot][Reply].wscale == noSyn
}

// farthest is how far from the last one the segment of a one-way flow may be, of
// which nobody says what window it has: more than Linux lets be in flight.
const farthest = 16 << 20 // bytes

// observeOneWay follows a client whose server is not heard. By its first
// acknowledgment the connection is open.
func (t *Table) observeOneWay(r Ref, p *packet.Parsed) {
	me, end := t.half(r), p.Seq+p.Len()
	if after(p.Seq, me.maxEnd+farthest) || after(me.maxEnd-farthest, end) {
		return
	}
	me.acknowledge(p.Ack)
	if me.state() == SynSent {
		t.become(r.slot(), Established)
	}
	if after(end, me.maxEnd) {
		me.maxEnd = end
	}
	me.maxWin = max(me.maxWin, p.Window)
	if p.Flags&packet.FIN != 0 {
		t.finish(r)
	}
}

func (t *Table) finish(r Ref) {
	me, peer := t.half(r), t.half(r^1)
	me.meta |= finished
	switch state := me.state(); {
	case peer.meta&finished != 0 && state != TimeWait && state != Closed:
		t.become(r.slot(), TimeWait)
	case state == Established || state == SynReceived:
		t.become(r.slot(), FinWait)
	}
}

// plausible is the window check: whether the segment could come from the end it
// claims to, judged by what the other end has sent and is ready to take. What
// fails it is forwarded, but teaches nothing.
func (t *Table) plausible(r Ref, p *packet.Parsed) bool {
	e := &t.entries[r.slot()]
	me, peer := &e[r.Direction()], &e[r.Direction()^1]
	mine, theirs := window(me, peer), window(peer, me)
	return !after(p.Ack, peer.maxEnd) && // it acknowledges nothing that was not sent
		!after(peer.maxEnd-mine, p.Ack) && // nor anything long past
		inWindow(me, peer, p.Seq, p.Seq+p.Len(), theirs)
}

// inWindow checks the sequence numbers alone: the segment begins no further than
// the peer's window goes, and ends no further back than a window before what
// has been sent.
func inWindow(me, peer *half, seq, end, window uint32) bool {
	edge := peer.maxAck + window
	if peer.meta&acked == 0 {
		edge = me.maxEnd + window
	}
	return !after(seq, edge) && !after(me.maxEnd-window, end)
}

// window returns the largest window that h has advertised, in bytes. The scale
// holds only when both SYNs carried one (RFC 7323 §2.2).
func window(h, peer *half) uint32 {
	w := uint32(h.maxWin)
	if h.wscale > 0 && peer.wscale >= 0 {
		w <<= uint8(h.wscale)
	}
	return max(w, minWindow)
}

// observeReset closes the flow if the receiver is bound to accept the RST: it
// carries exactly what the receiver expects next, which is what it acknowledged
// last or, if that acknowledgment has not passed yet, what was sent to it last
// (RFC 9293 §3.10.7.4, RFC 5961 §3). Any other changes nothing: one in the window
// makes the receiver ask back, and a true one is then sent again, exactly. To cut
// the timer, as Linux does, would let a stranger's two RSTs end a quiet flow, of
// which the receiver answers only the first.
func (t *Table) observeReset(r Ref, p *packet.Parsed) {
	e := &t.entries[r.slot()]
	me, peer := &e[r.Direction()], &e[r.Direction()^1]
	switch state := me.state(); {
	case state == Closed:
	case state == SynSent && r.Direction() == Reply:
		if p.Flags&packet.ACK != 0 && p.Ack == peer.maxEnd {
			t.become(r.slot(), Closed) // connection refused
		}
	case p.Seq == me.maxEnd, p.Seq == peer.maxAck && peer.meta&acked != 0:
		t.become(r.slot(), Closed)
	}
}

// become changes the state and, since the timeout may be shorter now, the timer.
func (t *Table) become(slot uint32, s State) {
	t.setState(slot, s)
	t.rearm(slot)
}

// Extend notes that a later fragment of a TCP segment, whose first one Observe has
// seen, went in direction r, and carries the sequence numbers before end.
func (t *Table) Extend(r Ref, end uint32) {
	me, peer := t.half(r), t.half(r^1)
	edge := peer.maxAck + window(peer, me)
	switch {
	case r.Direction() == Original && t.oneWay(r.slot()):
		edge = me.maxEnd + farthest
	case peer.meta&acked == 0: // as for a whole segment: see inWindow
		edge = me.maxEnd + window(peer, me)
	}
	if after(end, me.maxEnd) && !after(end, edge) {
		me.maxEnd = end
	}
}

// after says that sequence number a is later than b (RFC 9293 §3.4).
func after(a, b uint32) bool { return int32(a-b) > 0 }
