package conntrack

import (
	"net/netip"

	"tidegate/packet"
)

// Flow is a copy of all that is known of one flow.
type Flow struct {
	ID        ID
	Tuple     [2]packet.Tuple // as each direction arrives
	State     State
	Rule      uint16
	Owner     uint32
	Inside    bool        // the original direction comes from the inside
	Turned    bool        // and goes there again: both ends are on the inside
	Via       packet.Addr // the backend that the original direction is handed to as it is; 0 where the tuple names it
	Created   int64       // monotonic nanoseconds
	LastSeen  int64       // monotonic nanoseconds, to the millisecond
	ExpiresIn int64       // nanoseconds, if nothing more comes
	Packets   [2]uint64
	Bytes     [2]uint64 // IP total lengths
	MaxEnd    [2]uint32 // highest sequence number + length each end has sent
	MaxAck    [2]uint32 // highest acknowledgment each end has sent: what it expects next
}

// Course returns the way to an end of the flow, Original being the client: the
// address to find the next hop by, and whether it is on the inside.
func (f *Flow) Course(to Direction) (dst packet.Addr, inside bool) {
	switch {
	case to == Original:
		return f.Tuple[Original].Src, f.Inside
	case f.Inbound():
		return f.Backend(), true
	}
	return f.Tuple[Reply].Src, false
}

// Inbound says whether a client on either side is led to a backend inside: an
// outbound flow goes from the inside to the outside.
func (f *Flow) Inbound() bool { return !f.Inside || f.Turned }

// Backend returns the address of an inbound flow's backend.
func (f *Flow) Backend() packet.Addr {
	if f.Via != 0 {
		return f.Via
	}
	return f.Tuple[Reply].Src
}

// Ends are the three endpoints of a flow as users know them, whichever end began it.
type Ends struct {
	Internal netip.AddrPort // the backend's
	External netip.AddrPort // the frontend's
	Remote   netip.AddrPort // the other side's
}

// Ends returns the endpoints.
func (f *Flow) Ends() Ends {
	original, reply := &f.Tuple[Original], &f.Tuple[Reply]
	if f.Inbound() {
		backend := netip.AddrPortFrom(f.Backend().Netip(), reply.SrcPort)
		return Ends{Internal: backend, External: original.Destination(), Remote: original.Source()}
	}
	return Ends{Internal: original.Source(), External: reply.Destination(), Remote: original.Destination()}
}

// Frontend returns the address of the gateway's that stands for the backend.
func (f *Flow) Frontend() packet.Addr {
	if f.Inbound() {
		return f.Tuple[Original].Dst
	}
	return f.Tuple[Reply].Dst
}

// Outward returns the direction of packets from the internal to the remote end.
func (f *Flow) Outward() Direction {
	if f.Inbound() {
		return Reply
	}
	return Original
}

// Ended is a flow that is no more, unless an end is to be asked. Its owner gets
// its port back; if Reset is set, both ends are owed a RST.
type Ended struct {
	Flow
	Reason Reason
	Reset  bool
	Ask    [2]bool // the flow lives on for now: these ends are owed a keepalive
}

// Doubtful says that the flow has not ended: an end is to be asked.
func (e *Ended) Doubtful() bool { return e.Ask != [2]bool{} }

// Flow returns a copy of the flow.
func (t *Table) Flow(r Ref, now int64) (f Flow) {
	slot := r.slot()
	e, s, ms := &t.entries[slot], &t.sides[slot], tick(now)
	f = Flow{
		ID: t.ID(makeRef(slot, Original)), State: e[0].state(), Rule: s.rule, Owner: s.owner,
		Inside: e[0].meta&fromInside != 0, Created: s.created,
	}
	for i := range e {
		f.Tuple[i] = e[i].key
		f.Packets[i], f.Bytes[i] = e[i].packets, e[i].bytes
		f.MaxEnd[i], f.MaxAck[i] = e[i].maxEnd, e[i].maxAck
	}
	if e[0].meta&special != 0 {
		t.describePath(&f, slot)
	}
	idle := int64(int32(ms - t.latest(e)))
	f.LastSeen = now - idle*1e6
	f.ExpiresIn = (int64(t.timeout(slot)) - idle) * 1e6
	return f
}

// describePath completes a copy of a special flow. Of one whose answers go by
// another way, each end's numbers are told by the other's, as far as it has said.
func (t *Table) describePath(f *Flow, slot uint32) {
	s := &t.sides[slot]
	f.Turned = s.path&turned != 0
	if s.path&direct == 0 {
		return
	}
	f.Via, f.Owner = packet.Addr(s.owner), 0
	if t.oneWay(slot) {
		f.MaxAck[Reply], f.MaxEnd[Reply] = f.MaxEnd[Original], f.MaxAck[Original]
	}
}

// Each calls f with the living flows in up to n slots from slot from on, and
// returns where to go on, or 0 when it has reached the end. Flows that come and
// go between two calls may be missed; none is shown twice.
func (t *Table) Each(from uint32, n int, f func(Ref)) (next uint32) {
	end := min(uint64(from)+uint64(n), uint64(t.fresh))
	for slot := from; uint64(slot) < end; slot++ {
		if s := t.entries[slot][0].state(); s != Free && s != Tombstone {
			f(makeRef(slot, Original))
		}
	}
	if end == uint64(t.fresh) {
		return 0
	}
	return uint32(end)
}

// ID returns the name of the flow.
func (t *Table) ID(r Ref) ID { return ID(t.epoch+t.sides[r.slot()].gen)<<32 | ID(r.slot()) }

// Find returns the flow with that ID, if it lives.
func (t *Table) Find(id ID) (Ref, bool) {
	slot := uint32(id)
	if slot >= t.fresh || t.epoch+t.sides[slot].gen != uint32(id>>32) {
		return 0, false
	}
	s := t.entries[slot][0].state()
	return makeRef(slot, Original), s != Free && s != Tombstone
}

// sweepLooks bounds how many flows one Sweep looks at, some tens of microseconds'
// worth, whether they end or live on.
const sweepLooks = 512

// Sweep ends the flows whose time is up and appends them to buf, as far as its
// capacity and sweepLooks go. more says that it has not come to the end, and is to
// be called again; it goes on where it stopped.
func (t *Table) Sweep(now int64, buf []Ended) (ended []Ended, more bool) {
	ms := tick(now)
	looks := t.sweepGraves(ms)
	for int32(ms-t.swept) >= 1<<wheelShift {
		l := &t.wheel[t.swept>>wheelShift&wheelMask]
		for ; l.head != none; looks++ {
			if len(buf) == cap(buf) || looks >= sweepLooks {
				return buf, true
			}
			buf = t.visit(l.head, ms, now, buf)
		}
		t.swept += 1 << wheelShift
	}
	return buf, looks >= sweepLooks
}

// visit ends one flow, has its ends asked, or puts it further on if it has been
// alive since.
func (t *Table) visit(slot, ms uint32, now int64, buf []Ended) []Ended {
	t.refresh(slot, ms)
	left := int32(t.latest(&t.entries[slot]) + t.timeout(slot) - ms)
	expired := left < 0 // at 0 a part of the last millisecond may be missing
	if ask := t.unheard(slot, expired); ask != [2]bool{} && t.sides[slot].asked < questions {
		return append(buf, t.question(slot, ms, now, ask))
	} else if ask != [2]bool{} || expired {
		return append(buf, t.End(makeRef(slot, Original), t.expiry(slot), now))
	}
	t.disarm(slot)
	t.arm(slot, ms+uint32(left))
	return buf
}

// refresh keeps the clock of an end that never speaks from wrapping around: how long
// it has been silent only matters beside a timeout, of a day at most.
func (t *Table) refresh(slot, ms uint32) {
	const longAgo = 1 << 30 // ms, twelve days
	for i := range t.entries[slot] {
		if h := &t.entries[slot][i]; ms-h.last > longAgo && int32(ms-h.last) > 0 {
			h.last = ms - longAgo
		}
	}
}

// sweepGraves removes tombstones whose time is up, and returns how many.
func (t *Table) sweepGraves(ms uint32) (looks int) {
	for ; looks < sweepLooks && t.graves.head != none && int32(ms-t.sides[t.graves.head].due) >= 0; looks++ {
		t.Forget(makeRef(t.graves.head, Original))
	}
	return looks
}

// expiry is the reason for which a flow in its state runs out of time.
func (t *Table) expiry(slot uint32) Reason {
	switch t.entries[slot][0].state() {
	case SynSent, SynReceived:
		return HalfOpen
	case TimeWait:
		return Fin
	case Closed:
		return Rst
	}
	return Idle
}

// forced ends are resets whatever the rule says: it is an operator who wants them.
var forced = [NumReasons]bool{Killed: true, Drained: true, RuleRemoved: true}

// End takes a flow, which must live, out of the table. An ESTABLISHED TCP flow
// whose rule resets, or whose end is forced, leaves a tombstone and wants its RSTs.
func (t *Table) End(r Ref, why Reason, now int64) Ended {
	slot := r.slot()
	ended := Ended{Flow: t.Flow(r, now), Reason: why}
	rule := &t.rules[ended.Rule]
	ended.Reset = ended.State == Established && !rule.silent && (rule.reset || forced[why])
	t.disarm(slot)
	t.live--
	t.counts[ended.Rule][ProtocolIndex(ended.Tuple[0].Proto)][ended.State]--
	if ended.Reset {
		t.bury(slot, tick(now))
	} else {
		t.drop(slot)
	}
	return ended
}

func (t *Table) bury(slot, ms uint32) {
	for i := range t.entries[slot] {
		h := &t.entries[slot][i]
		h.meta = h.meta&^metaState | uint8(Tombstone)
	}
	t.sides[slot].due = ms + tombstoneLife
	t.push(&t.graves, slot)
}

// Rearm has the flow looked at when its time is up by the timers in force, unless its
// ends are being asked whether they live: that goes on.
func (t *Table) Rearm(r Ref) {
	if slot := r.slot(); t.sides[slot].asked == 0 {
		t.rearm(slot)
	}
}

// rearm puts the flow where its timeout, counted from its last packet, has it.
func (t *Table) rearm(slot uint32) {
	t.sides[slot].asked = 0
	t.disarm(slot)
	t.arm(slot, t.latest(&t.entries[slot])+t.timeout(slot))
}

// timeout is how long the flow may be silent, in milliseconds.
func (t *Table) timeout(slot uint32) uint32 {
	h, s := &t.entries[slot][0], &t.sides[slot]
	state := h.state()
	switch {
	case t.timers[state] != 0:
		return t.timers[state]
	case h.key.Proto == packet.ICMP:
		return t.icmp
	case h.key.Proto == packet.UDP:
		return t.rules[s.rule].udp
	}
	return t.rules[s.rule].idle
}

// latest is when an end last spoke that keeps the flow alive: either of them, but
// for UDP perhaps only the one inside.
func (t *Table) latest(e *entry) uint32 {
	spoke := e[0].last
	if int32(e[1].last-spoke) <= 0 {
		return spoke
	}
	if t.outboundOnly && e[0].key.Proto == packet.UDP && e[0].meta&(fromInside|special) == fromInside {
		return spoke
	}
	return e[1].last
}
