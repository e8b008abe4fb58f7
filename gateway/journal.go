package gateway

import (
	"context"
	"runtime"
	"sort"
	"time"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/packet"
)

// EventKind says what has happened.
type EventKind uint8

// What the journal keeps.
const (
	FlowCreated EventKind = iota
	FlowClosed
	SNATExhausted
	BackendUp
	BackendDown
	ConfigReloaded
	ConfigRejected
	numEventKinds
)

var eventNames = [numEventKinds]string{
	"flow.created", "flow.closed", "snat.exhausted", "backend.up", "backend.down", "config.reloaded", "config.rejected",
}

// String returns the name users see.
func (k EventKind) String() string { return eventNames[k] }

// Event is something that has happened.
type Event struct {
	Seq uint64 // 1 for the first since the start, then one more each
	At  int64  // on the gateway's clock
	Notice

	Flow   conntrack.Flow   // of FlowCreated, after its first packet, and of FlowClosed
	Reason conntrack.Reason // of FlowClosed
	Reset  bool             // of FlowClosed: both ends got a RST
}

// HasFlow says whether the event is about a flow.
func (e *Event) HasFlow() bool { return e.Kind <= FlowClosed }

// Notice is what there is to say of an event that is about no flow.
type Notice struct {
	Kind     EventKind
	Rule     int             // number, −1 for none; of an event about a flow its rule's
	Backend  packet.Addr     // of SNATExhausted the member without ports, 0 if they are a frontend's
	Protocol packet.Protocol // of SNATExhausted
	Towards  nat.Endpoint    // of SNATExhausted: where the last flow without a port wanted to go
	Count    uint64          // of SNATExhausted: how many flows got no port since it was last told
	Message  string          // one sentence; empty if the event is about a flow
}

const (
	// keptFlows is how many beginnings, and how many ends of flows, are kept: more
	// than 10,000 dead flows to be asked about, and what comes within a fiftieth of a
	// second at 800,000 a second.
	keptFlows = 1 << 14

	// keptNotices is how many others are kept: they are rare, and last.
	keptNotices = 1 << 10
)

// flowEvent is an Event about a flow, without pointers: the rings are not scanned.
type flowEvent struct {
	seq    uint64
	at     int64
	flow   conntrack.Flow
	reason conntrack.Reason
	reset  bool
}

func (f *flowEvent) number() uint64 { return f.seq }

type noticeEvent struct {
	seq    uint64
	at     int64
	notice Notice
}

func (n *noticeEvent) number() uint64 { return n.seq }

// journal is what has happened last. A flood of flows that begin leaves room for
// those that end, and neither displaces the rest.
type journal struct {
	last    uint64 // number of the last event
	begun   ring[flowEvent, *flowEvent]
	over    ring[flowEvent, *flowEvent]
	notices ring[noticeEvent, *noticeEvent]
}

func newJournal() journal {
	return journal{
		begun: newRing[flowEvent](keptFlows), over: newRing[flowEvent](keptFlows), notices: newRing[noticeEvent](keptNotices),
	}
}

func (j *journal) created(t *conntrack.Table, ref conntrack.Ref, now int64) {
	j.last++
	e := j.begun.add()
	e.seq, e.at, e.flow = j.last, now, t.Flow(ref, now)
}

func (j *journal) ended(ended *conntrack.Ended, now int64) {
	j.last++
	*j.over.add() = flowEvent{seq: j.last, at: now, flow: ended.Flow, reason: ended.Reason, reset: ended.Reset}
}

func (j *journal) note(n Notice, now int64) {
	j.last++
	*j.notices.add() = noticeEvent{seq: j.last, at: now, notice: n}
}

// read fills buf with what is kept of the events after a number, in order, and says
// how many before the last of them are not kept any more.
func (j *journal) read(after uint64, buf []Event, beginnings bool) (n int, missed uint64) {
	begun, over, notices := j.begun.after(after), j.over.after(after), j.notices.after(after)
	if !beginnings {
		begun = j.begun.added
		if !j.over.lacks(after) && !j.notices.lacks(after) {
			defer func() { missed = 0 }() // it is beginnings that are not there
		}
	}
	for ; n < len(buf); n++ {
		b, o, s := j.begun.seq(begun), j.over.seq(over), j.notices.seq(notices)
		switch e := &buf[n]; min(b, o, s) {
		case none:
			return n, missed
		case b:
			*e = j.begun.at(begun).event(FlowCreated)
			begun++
		case o:
			*e = j.over.at(over).event(FlowClosed)
			over++
		default:
			notice := j.notices.at(notices)
			*e = Event{Seq: notice.seq, At: notice.at, Notice: notice.notice}
			notices++
		}
		missed += buf[n].Seq - after - 1
		after = buf[n].Seq
	}
	return n, missed
}

func (f *flowEvent) event(kind EventKind) Event {
	return Event{
		Seq: f.seq, At: f.at, Notice: Notice{Kind: kind, Rule: int(f.flow.Rule)},
		Flow: f.flow, Reason: f.reason, Reset: f.reset,
	}
}

// sequenced is an entry of a ring.
type sequenced[T any] interface {
	*T
	number() uint64
}

// ring keeps the last entries that were added, whose numbers ascend.
type ring[T any, P sequenced[T]] struct {
	slots []T
	added int
}

func newRing[T any, P sequenced[T]](size int) ring[T, P] { return ring[T, P]{slots: make([]T, size)} }

// none is the number of an entry that is not there.
const none = ^uint64(0)

func (r *ring[T, P]) at(i int) P { return &r.slots[i%len(r.slots)] }

func (r *ring[T, P]) add() P {
	r.added++
	return r.at(r.added - 1)
}

func (r *ring[T, P]) oldest() int { return max(0, r.added-len(r.slots)) }

// after returns the index of the first entry with a larger number.
func (r *ring[T, P]) after(number uint64) int {
	first := r.oldest()
	return first + sort.Search(r.added-first, func(i int) bool { return r.at(first+i).number() > number })
}

// lacks says that entries with a larger number may be gone.
func (r *ring[T, P]) lacks(number uint64) bool {
	first := r.oldest()
	return first > 0 && r.at(first).number() > number+1
}

func (r *ring[T, P]) seq(i int) uint64 {
	if i >= r.added {
		return none
	}
	return r.at(i).number()
}

// Note writes an event down that no packet tells of.
func (g *Gateway) Note(n Notice) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.journal.note(n, g.now())
}

// Events fills buf with the events after the one with that number, oldest first, and
// says how many in between are lost: 16,384 flows that begin, as many that end, and
// 1,024 other events are kept. It takes the lock for a moment; buf of some hundreds
// is as much as should be asked for at once.
func (g *Gateway) Events(after uint64, buf []Event) (n int, missed uint64) {
	return g.events(after, buf, true)
}

func (g *Gateway) events(after uint64, buf []Event, beginnings bool) (n int, missed uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.journal.read(after, buf, beginnings)
}

// LastEvent returns the number of the last event, 0 before the first.
func (g *Gateway) LastEvent() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.journal.last
}

// followEvery is how often a follower looks for news: before a ring can be full.
const followEvery = 20 * time.Millisecond

// followBatch is how many events a follower gets at once: some tens of microseconds of
// the lock.
const followBatch = 512

// Follow calls yield with the events after the one with that number, as they happen,
// until ctx is done or yield returns an error, which it returns. missed says how many
// are lost before those given, because yield took too long. The events are yield's
// only until it returns. beginnings is asked each time whether flows that begin are
// wanted, of which there may be very many; nil: they are. Without them missed is 0 unless
// others are lost too, and then counts both.
func (g *Gateway) Follow(ctx context.Context, after uint64, beginnings func() bool, yield func(events []Event, missed uint64) error) error {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	buf := make([]Event, followBatch)
	for {
		n, missed := g.events(after, buf, beginnings == nil || beginnings())
		if n > 0 {
			after = buf[n-1].Seq
			if err := yield(buf[:n], missed); err != nil {
				return err
			}
		}
		if n == len(buf) && ctx.Err() == nil {
			runtime.Gosched() // to a worker that waits for the lock
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Obituary returns the end of the last flow that had that tuple in one of its
// directions, which is the direction returned; false if it is none of those kept.
func (g *Gateway) Obituary(t packet.Tuple) (e Event, d conntrack.Direction, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.journal.obituary(t)
}

func (j *journal) obituary(t packet.Tuple) (Event, conntrack.Direction, bool) {
	for i := j.over.added - 1; i >= j.over.oldest(); i-- {
		f := j.over.at(i)
		for d := conntrack.Original; d <= conntrack.Reply; d++ {
			if f.flow.Tuple[d] == t {
				return f.event(FlowClosed), d, true
			}
		}
	}
	return Event{}, 0, false
}
