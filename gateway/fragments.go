package gateway

import (
	"tidegate/conntrack"
	"tidegate/fragment"
	"tidegate/nexthop"
	"tidegate/packet"
)

// datagramKey names the datagram that the fragment at hand is of. Through a tunnel
// sides can't be told before the flow is.
func (w *worker) datagramKey(from nexthop.Side) fragment.Key {
	return fragment.Key{
		Src: w.p.Src, Dst: w.p.Dst, ID: w.p.ID, Proto: w.p.Proto, Inside: from == nexthop.Inside && !w.port.Tunnel,
	}
}

// firstFragment remembers what became of the first fragment of a datagram, and does
// the same with those that have come before it.
func (w *worker) firstFragment(v Verdict, from nexthop.Side, now int64) {
	key := w.datagramKey(from)
	ref, ok := w.table.Lookup(&w.p.Tuple)
	if v != Forwarded && v != Waiting || !ok {
		w.counters.Verdicts[DropFragment] += uint64(w.fragments.Refuse(key, now))
		return
	}
	flow := fragment.Flow{ID: uint64(w.table.ID(ref)), Way: uint8(ref.Direction()), Base: w.base()}
	waited, _ := w.fragments.First(key, w.p.Total-w.p.L4, flow, now)
	for _, frame := range waited {
		_ = w.load(frame) // it was well formed when it came
		if v := w.passFragment(frame, ref, &flow, now); v.Drop() {
			w.counters.Verdicts[v]++
		}
	}
}

// base is the sequence number that the first byte of the segment's header would
// have, so that of a later fragment's end that plus its offset is the number.
func (w *worker) base() uint32 {
	header := w.p.Total - w.p.L4 - w.p.Payload
	return w.p.Seq + w.p.Len() - uint32(w.p.Payload) - uint32(header)
}

// laterFragment sends on a fragment whose datagram's flow is known, and keeps one
// whose first has not come yet.
func (w *worker) laterFragment(frame []byte, now int64) (Verdict, nexthop.Side) {
	p, from := &w.p, w.port.Side
	if w.port.Tunnel {
		from = w.sideOf(&p.Tuple, 0, false)
	}
	switch {
	case martianSource(p.Src):
		return DropMartian, from
	case groupAddress(p.Dst) || w.port.Router.Local(p.Dst) && !w.policy.IsFrontend(p.Dst):
		return LeftToHost, from
	}
	key := w.datagramKey(from)
	flow, known, fate := w.fragments.Later(key, int(p.Offset), p.Payload, p.More, now)
	switch {
	case fate != fragment.Fits:
		return DropFragment, from
	case !known && w.fragments.Hold(key, frame):
		return Waiting, from
	case !known:
		return DropFragment, from
	}
	ref, ok := w.table.Find(conntrack.ID(flow.ID))
	if !ok {
		return DropNoFlow, from
	}
	ref = ref.Toward(conntrack.Direction(flow.Way))
	return w.passFragment(frame, ref, &flow, now), sideOf(w.table.FromInside(ref))
}

func (w *worker) passFragment(frame []byte, ref conntrack.Ref, f *fragment.Flow, now int64) Verdict {
	v := w.forward(frame, ref, sideOf(w.table.FromInside(ref)), now)
	if w.p.Proto == packet.TCP && !v.Drop() {
		w.table.Extend(ref, f.Base+uint32(w.p.Offset)+uint32(w.p.Payload))
	}
	return v
}

// leastMTU is what every link takes, bytes (RFC 791 §3.2).
const leastMTU = 68

// split sends a packet in pieces that its link takes (RFC 791 §3.2). Its checksum is
// completed first if that is left to a device, which sees only pieces.
func (w *worker) split(frame []byte, mtu int, to nexthop.Side) {
	b := frame[w.layout.headroom:]
	if w.layout.partial(frame, &w.p) {
		packet.CompleteChecksum(b, &w.p)
	}
	mtu = max(mtu, leastMTU)
	for at := 0; at < w.p.Total-w.p.L4; {
		piece := make([]byte, w.layout.headroom+mtu)
		copy(piece[w.layout.Vnet:w.layout.headroom], frame[w.layout.Vnet:])
		n, taken := packet.PutFragment(piece[w.layout.headroom:], b, &w.p, at)
		w.send(piece[:w.layout.headroom+n], to)
		at += taken
	}
}
