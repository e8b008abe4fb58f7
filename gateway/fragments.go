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
	flow, ok := w.datagramFlow(v)
	if !ok {
		w.fragments.Refuse(key, now)
		return
	}
	waited, _ := w.fragments.First(key, w.p.Total-w.p.L4, flow, now)
	for _, frame := range waited {
		_ = w.load(frame) // it was well formed when it came
		if v, _ := w.passFragment(frame, &flow, from, now); v.Drop() {
			w.counters.Verdicts[v]++
		}
	}
}

// datagramFlow is what the other fragments go by, if they may: the flow of the first,
// which is at hand, or none for a ping that the gateway answers.
func (w *worker) datagramFlow(v Verdict) (f fragment.Flow, ok bool) {
	if v != Forwarded && v != Waiting {
		return f, v == Answered
	}
	ref, ok := w.table.Lookup(&w.p.Tuple)
	if !ok {
		return f, false
	}
	return fragment.Flow{ID: uint64(w.table.ID(ref)), Way: uint8(ref.Direction()), Base: w.base()}, true
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
	case from == nexthop.Outside && !w.policy.IsFrontend(p.Dst):
		return DropNotOurs, from
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
	return w.passFragment(frame, &flow, from, now)
}

// passFragment does with the fragment at hand as was done with its datagram's first.
func (w *worker) passFragment(frame []byte, f *fragment.Flow, from nexthop.Side, now int64) (Verdict, nexthop.Side) {
	if f.ID == 0 {
		return w.echo(frame, from), from
	}
	ref, ok := w.table.Find(conntrack.ID(f.ID))
	if !ok {
		return DropNoFlow, from
	}
	ref = ref.Toward(conntrack.Direction(f.Way))
	from = sideOf(w.table.FromInside(ref))
	v := w.forward(frame, ref, from, now)
	if w.p.Proto == packet.TCP && !v.Drop() {
		w.table.Extend(ref, f.Base+uint32(w.p.Offset)+uint32(w.p.Payload))
	}
	return v, from
}

// leastMTU is what every link takes, bytes (RFC 791 §3.2).
const leastMTU = 68

// noMTU is of a link that is not known yet: no packet is larger.
const noMTU = 65535

// pieces cuts a packet up into what its link takes (RFC 791 §3.2). Its checksum is
// completed first if that is left to a device, which sees only pieces.
func (l layout) pieces(frame []byte, p *packet.Parsed, mtu int) (all [][]byte) {
	b := frame[l.headroom:]
	if l.partial(frame, p) {
		packet.CompleteChecksum(b, p)
	}
	mtu = max(mtu, leastMTU)
	for at := 0; at < p.Total-p.L4; {
		piece := make([]byte, l.headroom+mtu)
		copy(piece[l.Vnet:l.headroom], frame[l.Vnet:])
		n, taken := packet.PutFragment(piece[l.headroom:], b, p, at)
		all = append(all, piece[:l.headroom+n])
		at += taken
	}
	return all
}
