package gateway

import (
	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
)

// scratch holds the frames that a worker makes itself, until they are written:
// at most one for each packet of a batch.
type scratch struct {
	buf      []byte
	used     int
	headroom int
}

// maxOwn is the longest packet the gateway makes: an ICMP error.
const maxOwn = 576

func (s *scratch) init(headroom int) {
	s.headroom = headroom
	s.buf = make([]byte, batchSize*(headroom+maxOwn))
}

func (s *scratch) reset() { s.used = 0 }

// next returns a zeroed frame for a packet of n bytes.
func (s *scratch) next(n int) []byte {
	f := s.buf[s.used : s.used+s.headroom+n]
	s.used += len(f)
	clear(f[:s.headroom])
	return f
}

// echo answers a ping to a frontend, or a fragment of one.
func (w *worker) echo(frame []byte, from nexthop.Side) Verdict {
	packet.EchoReply(frame[w.layout.headroom:], &w.p)
	frame = frame[:w.layout.headroom+w.p.Total]
	w.turnAround(frame, frame)
	w.send(frame, from)
	return Answered
}

// turnAround addresses reply to the link-layer sender of frame.
func (w *worker) turnAround(reply, frame []byte) {
	if w.layout.Link == 0 {
		return
	}
	var ether [14]byte
	copy(ether[:], frame[w.layout.Vnet:])
	link := reply[w.layout.Vnet:w.layout.headroom]
	copy(link, ether[6:12])
	copy(link[6:], ether[:6])
	copy(link[12:], ether[12:])
}

// late answers a segment of a flow that was given up: with the RST that its
// sender is bound to accept, or as the beginning of a new flow.
func (w *worker) late(frame []byte, ref conntrack.Ref, from nexthop.Side, now int64) Verdict {
	p := &w.p
	if ref.Direction() == conntrack.Original && opens(p) {
		w.table.Forget(ref)
		return w.miss(frame, from, now)
	}
	w.trace(ref)
	rule, reason := w.table.Rule(ref), ResetLate
	if p.Payload == 0 && p.Flags&(packet.SYN|packet.FIN) == 0 {
		reason = ResetChallenge
	}
	if p.Flags&packet.RST != 0 || reason == ResetLate && w.rules[rule].mute() {
		return DropNoFlow
	}
	return w.resetSender(frame, &w.resetLimit, rule, reason, ref.Direction(), from, now)
}

// mute says whether a rule that resets idle flows wants nobody told afterwards.
func (r *Rule) mute() bool { return r.Reset && !r.Late }

// resetSender answers a segment for which there is no flow.
func (w *worker) resetSender(frame []byte, by *limit, rule uint16, why ResetReason, sender conntrack.Direction, from nexthop.Side, now int64) Verdict {
	if !by.allow(now) {
		return DropNoFlow
	}
	w.counters.Resets[rule][why][sender]++
	w.answerReset(frame, from)
	return Reset
}

// answerReset sends back the RST that the packet at hand asks for.
func (w *worker) answerReset(frame []byte, from nexthop.Side) {
	s := packet.ResetFor(&w.p)
	s.ID = w.nextID()
	f := w.own.next(packet.SegmentLen)
	packet.PutSegment(f[w.layout.headroom:], &s)
	w.turnAround(f, frame)
	w.send(f, from)
}

// exhausted tells the client, which is on the inside, at once that no port is left.
func (w *worker) exhausted(frame []byte, d *decision, now int64) Verdict {
	w.short[shortage{uint16(d.rule), d.lease}]++
	if w.p.Kind == packet.KindTCP && w.rules[d.rule].Reset {
		w.resetSender(frame, &w.resetLimit, uint16(d.rule), ResetExhausted, conntrack.Original, nexthop.Inside, now)
	} else {
		w.unreachable(frame, nexthop.Inside, packet.CodeAdminProhibited, 0, now)
	}
	return DropExhausted
}

func (w *worker) timeExceeded(frame []byte, from nexthop.Side, now int64) Verdict {
	w.complain(frame, from, now, func(b []byte, own packet.Addr, orig []byte) int {
		return packet.PutTimeExceeded(b, own, w.nextID(), orig)
	})
	return DropTTL
}

func (w *worker) tooBig(frame []byte, from nexthop.Side, mtu int, now int64) Verdict {
	w.unreachable(frame, from, packet.CodeFragmentationNeeded, uint16(mtu), now)
	return DropTooBig
}

func (w *worker) unreachable(frame []byte, from nexthop.Side, code uint8, mtu uint16, now int64) {
	w.complain(frame, from, now, func(b []byte, own packet.Addr, orig []byte) int {
		return packet.PutUnreachable(b, own, code, mtu, w.nextID(), orig)
	})
}

// complain sends back an error about the packet at hand, from an address its
// sender knows: the gateway's on that side, or else the one it wrote to. Never
// about an ICMP message other than an echo request, nor about a later fragment
// (RFC 1122 §3.2.2), nor to more than the limit.
func (w *worker) complain(frame []byte, to nexthop.Side, now int64, put func(b []byte, own packet.Addr, orig []byte) int) {
	if w.p.Kind == packet.KindEchoReply || w.p.Kind == packet.KindICMPError || w.p.Offset != 0 || !w.icmpLimit[to].allow(now) {
		return
	}
	orig := frame[w.layout.headroom : w.layout.headroom+w.p.Total]
	own := w.port.Router.Address(to)
	if own == 0 {
		own = w.p.Dst
	}
	f := w.own.next(packet.ICMPErrorLen(len(orig)))
	put(f[w.layout.headroom:], own, orig)
	w.turnAround(f, frame)
	w.send(f, to)
}

// limit is a token bucket: rate a second, burst at most, counted in nanoseconds.
type limit struct {
	every int64 // ns between tokens
	burst int64 // ns worth of tokens
	full  int64 // when the bucket will be full again
}

func newLimit(rate, burst int64) limit {
	every := int64(1e9) / rate
	return limit{every: every, burst: burst * every}
}

func (l *limit) allow(now int64) bool {
	full := max(l.full, now) + l.every
	if full-now > l.burst {
		return false
	}
	l.full = full
	return true
}
