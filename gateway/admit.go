package gateway

import (
	"errors"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
)

// miss carries out what is decided on a packet that belongs to no flow.
func (w *worker) miss(frame []byte, from nexthop.Side, now int64) Verdict {
	d := w.judge(&w.p, from, w.port.Router)
	switch d.verdict {
	case Forwarded:
		return w.begin(frame, &d, from, now)
	case Answered:
		return w.echo(frame, from)
	case Reset:
		return w.resetSender(frame, &w.lateLimit, uint16(d.rule), ResetLate, d.sender, from, now)
	}
	return d.verdict
}

// begin begins a flow, unless its first packet can't go or no port is left.
func (w *worker) begin(frame []byte, d *decision, from nexthop.Side, now int64) Verdict {
	if _, v := w.way(frame, d.towards(), from, d.out(from), now); v.Drop() {
		return v
	}
	a := conntrack.Admission{
		Original: w.p.Tuple, Translated: d.to, Inside: from == nexthop.Inside, Turned: d.turned,
		Rule: uint16(d.rule), Owner: d.owner, Via: d.via,
	}
	if d.lease != nil {
		ext, evict, ok := d.lease.Allocate(&d.to, w.p.Seq, w.Gateway, now)
		if !ok {
			return w.exhausted(frame, d, now)
		}
		a.Translated.Src, a.Translated.SrcPort = ext.Addr, ext.Port
		if evict {
			w.evict(a.Translated.Reverse(), now)
		}
	}
	return w.admit(frame, &a, d.chosen, from, now)
}

// admit makes the flow and sends its first packet.
func (w *worker) admit(frame []byte, a *conntrack.Admission, chosen packet.Addr, from nexthop.Side, now int64) Verdict {
	ref, err := w.table.Insert(a, now)
	if reply := a.Translated.Reverse(); errors.Is(err, conntrack.ErrTaken) && w.Use(reply, w.p.Seq) == nat.Spent {
		w.evict(reply, now)
		ref, err = w.table.Insert(a, now)
	}
	switch {
	case errors.Is(err, conntrack.ErrFull):
		if from == nexthop.Inside { // RFC 5508 REQ-8; outside nobody is told that there is no more room
			w.unreachable(frame, from, packet.CodeAdminProhibited, 0, now)
		}
		return DropTableFull
	case err != nil:
		return DropConflict
	}
	if lease := w.policy.Owner(a.Owner); lease != nil {
		lease.Hold(nat.Endpoint{Addr: a.Translated.Src, Port: a.Translated.SrcPort}, a.Original.SrcPort)
	}
	if chosen != 0 {
		w.counters.Chosen[Choice{a.Rule, chosen}]++
	}
	w.counters.Created[a.Rule][conntrack.ProtocolIndex(a.Original.Proto)]++
	v := w.forward(frame, ref, from, now)
	w.journal.created(w.table, ref, now)
	return v
}

// evict ends the spent flow whose port is wanted.
func (w *worker) evict(reply packet.Tuple, now int64) {
	ref, ok := w.table.Lookup(&reply)
	if !ok {
		return
	}
	why := conntrack.Fin
	if w.table.State(ref) == conntrack.Closed {
		why = conntrack.Rst
	}
	ended := w.table.End(ref, why, now)
	w.settle(&ended, now)
}
