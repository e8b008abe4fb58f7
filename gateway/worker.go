package gateway

import (
	"context"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
)

// batchSize is how many packets a Worker reads at once: enough to spread the
// cost of a system call, few enough to stay in the cache.
const batchSize = 64

// worker serves one Port. Its fields are its own goroutine's.
type worker struct {
	*Gateway
	port    Port
	layout  layout
	hop     packet.Hop
	p       packet.Parsed // the packet at hand
	quote   packet.Quote  // what it quotes, if it is an ICMP error
	wires   int           // how many packets it is on the wire
	largest int           // and how long the largest of them is
	flow    conntrack.Ref // which it is of, if it is traced
	traced  bool
	frames  [batchSize][]byte
	out     [2][][]byte // to be written, by side
	own     scratch
}

func newWorker(g *Gateway, p Port) *worker {
	w := &worker{Gateway: g, port: p, hop: packet.TakeTTL}
	w.layout = newLayout(p.Writers[nexthop.Outside].Layout())
	if p.Tunnel {
		w.hop = packet.KeepTTL
	}
	w.own.init(w.layout.headroom)
	for i := range w.out {
		w.out[i] = make([][]byte, 0, batchSize)
	}
	return w
}

// run forwards until a queue fails or is closed.
func (w *worker) run(context.Context) error {
	for {
		n, err := w.port.Reader.ReadBatch(w.frames[:])
		if err != nil {
			return err
		}
		w.forwardBatch(w.frames[:n], w.now())
		if err := w.flush(); err != nil {
			return err
		}
	}
}

func (w *worker) forwardBatch(frames [][]byte, now int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	watched := len(w.taps.all) > 0
	for _, f := range frames {
		if watched {
			w.watch(f)
		}
		v, from := w.decide(f, now)
		if watched {
			w.reveal(v, from, now)
		}
		w.counters.Verdicts[v]++
		w.counters.countIn(from, f, w.layout.headroom)
	}
	for side, frames := range w.out {
		w.counters.countOut(nexthop.Side(side), frames, w.layout.headroom)
	}
}

// flush writes what was decided to be sent. The queue counts what the kernel refuses.
func (w *worker) flush() error {
	for side := range w.out {
		if len(w.out[side]) == 0 {
			continue
		}
		if _, err := w.port.Writers[side].WriteBatch(w.out[side]); err != nil {
			return err
		}
		w.out[side] = w.out[side][:0]
	}
	w.own.reset()
	return nil
}

func (w *worker) send(frame []byte, side nexthop.Side) {
	w.out[side] = append(w.out[side], frame)
}

// decide says what becomes of one packet, and which side it came from.
func (w *worker) decide(frame []byte, now int64) (v Verdict, from nexthop.Side) {
	w.traced = false
	if v := w.load(frame); v.Drop() {
		return v, w.port.Side
	}
	switch w.p.Kind {
	case packet.KindFragment:
		return w.laterFragment(frame, now)
	case packet.KindOther:
		return w.other(frame, now)
	case packet.KindICMPError:
		v, from = w.icmpError(frame, now)
	default:
		v, from = w.decideFirst(frame, now)
	}
	if w.p.More {
		w.firstFragment(v, from, now)
	}
	return v, from
}

// load makes a packet the one at hand.
func (w *worker) load(frame []byte) Verdict {
	if len(frame) < w.layout.headroom {
		return DropTruncated
	}
	if fault := packet.Decode(frame[w.layout.headroom:], &w.p); fault != packet.FaultNone {
		return faultVerdict[fault]
	}
	w.wires, w.largest = w.layout.segments(frame, &w.p)
	return Forwarded
}

// decideFirst decides on a packet that says which flow it is of.
func (w *worker) decideFirst(frame []byte, now int64) (Verdict, nexthop.Side) {
	from := w.port.Side
	ref, known := w.table.Lookup(&w.p.Tuple)
	known = known && w.along(ref)
	if w.port.Tunnel {
		from = w.sideOf(&w.p.Tuple, ref, known)
	}
	switch {
	case !known:
		return w.miss(frame, from, now), from
	case w.table.FromInside(ref) != (from == nexthop.Inside):
		return DropWrongSide, from
	case w.table.State(ref) == conntrack.Tombstone:
		return w.late(frame, ref, from, now), from
	case w.p.Kind == packet.KindTCP && opens(&w.p) && w.displaced(&w.p, ref):
		return w.replace(frame, ref, from, now), from
	}
	return w.forward(frame, ref, from, now), from
}

// along says whether the packet at hand goes the way that its tuple does: with
// identifier zero an echo reply carries the tuple of a request.
func (w *worker) along(ref conntrack.Ref) bool {
	return w.p.Kind != packet.KindEchoReply || ref.Direction() == conntrack.Reply
}

// sideOf tells the side of a packet that came through the tunnel, where both meet:
// that of its flow; without one it comes from the outside if it is to a public
// frontend and not from a pool member.
func (g *Gateway) sideOf(t *packet.Tuple, ref conntrack.Ref, known bool) nexthop.Side {
	if known {
		return sideOf(g.table.FromInside(ref))
	}
	return sideOf(!g.policy.IsFrontend(t.Dst) || g.policy.IsInternal(t.Dst) || g.policy.IsMember(t.Src))
}

// forward sends a packet of a known flow on its way. Nothing is noted of a
// packet that can't go.
func (w *worker) forward(frame []byte, ref conntrack.Ref, from nexthop.Side, now int64) Verdict {
	w.trace(ref)
	dst, inside := w.table.Course(ref)
	to := sideOf(inside)
	hop, v := w.way(frame, dst, from, to, now)
	if v.Drop() {
		return v
	}
	if v == Waiting && !w.waiting.fits(len(frame), dst) {
		return DropUnresolved
	}
	w.table.Observe(ref, &w.p, w.wires, now)
	if w.p.MSSAt != 0 {
		w.clampMSS(frame, hop, from)
	}
	b := frame[w.layout.headroom:]
	w.table.Rewrite(ref).Apply(b, &w.p, w.layout.partial(frame, &w.p), w.hop)
	return w.transmit(frame, hop, v, dst, to, now)
}

// transmit sends a translated packet to its hop, in pieces if it has to be, or has
// it wait until that is known.
func (w *worker) transmit(frame []byte, hop *nexthop.Hop, v Verdict, dst packet.Addr, to nexthop.Side, now int64) Verdict {
	frame = frame[:w.layout.headroom+w.p.Total]
	if v == Waiting {
		return w.wait(frame, dst, to, now)
	}
	copy(frame[w.layout.Vnet:w.layout.headroom], hop.Ether[:])
	if w.largest > hop.MTU {
		w.out[to] = append(w.out[to], w.layout.pieces(frame, &w.p, hop.MTU)...)
		return Forwarded
	}
	w.send(frame, to)
	return Forwarded
}

// clampMSS has the ends of a connection send no larger segments than the links on
// both sides take (RFC 4459 §3.2), as far as they are known by now: hop may be nil.
func (w *worker) clampMSS(frame []byte, hop *nexthop.Hop, from nexthop.Side) {
	mtu := noMTU
	if hop != nil {
		mtu = hop.MTU
	}
	if back, status := w.port.Router.Hop(w.p.Src, from); status == nexthop.Resolved {
		mtu = min(mtu, back.MTU)
	}
	packet.ClampMSS(frame[w.layout.headroom:], &w.p, mtu, w.layout.partial(frame, &w.p))
}

// way returns the next hop of the packet at hand to dst on the side out, if it
// is known, and whether the packet can go there. The sender is told why not.
func (w *worker) way(frame []byte, dst packet.Addr, from, out nexthop.Side, now int64) (*nexthop.Hop, Verdict) {
	if w.expires(out) {
		return nil, w.timeExceeded(frame, from, now)
	}
	hop, status := w.port.Router.Hop(dst, out)
	if status != nexthop.Resolved {
		v := statusVerdict[status]
		if v.Drop() {
			w.unreachable(frame, from, packet.CodeHost, 0, now)
		}
		return nil, v
	}
	if w.largest > hop.MTU && (w.p.DF || w.wires > 1) {
		return nil, w.tooBig(frame, from, hop.MTU, now)
	}
	return hop, Forwarded
}

// expires says whether the TTL of the packet at hand runs out here. Behind a tunnel it
// is the kernel that takes it down; of what goes inwards it would complain outside, and
// quote the packet as it is inside.
func (w *worker) expires(out nexthop.Side) bool {
	return w.p.TTL <= 1 && (w.hop == packet.TakeTTL || out == nexthop.Inside)
}

var statusVerdict = [...]Verdict{
	nexthop.Resolved:    Forwarded,
	nexthop.Unresolved:  Waiting,
	nexthop.NoRoute:     DropNoRoute,
	nexthop.Elsewhere:   DropNoRoute,
	nexthop.Unreachable: DropUnreachable,
}

// wait holds a translated packet until its neighbour is known.
func (w *worker) wait(frame []byte, dst packet.Addr, to nexthop.Side, now int64) Verdict {
	w.port.Router.Solicit(dst)
	w.waiting.add(frame, dst, w.sighting(to, now), now)
	return Waiting
}

// Use answers the allocator's question about a tuple (nat.Tracker).
func (g *Gateway) Use(reply packet.Tuple, seq uint32) nat.Use {
	ref, ok := g.table.Lookup(&reply)
	switch {
	case !ok || g.table.State(ref) == conntrack.Tombstone:
		return nat.Unused
	case ref.Direction() == conntrack.Reply && g.table.Spent(ref, seq):
		return nat.Spent
	}
	return nat.InUse
}
