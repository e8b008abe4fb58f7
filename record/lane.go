package record

import (
	"sync"
	"sync/atomic"
	"time"

	"tidegate/gateway"
)

// laneEvents is how many events wait for a sink: a third of a second at 200,000 a
// second, twenty minutes at 50, and several times what the journal keeps, so that the
// last drain fits. That is 30 MB at most for a sink that is stuck, and the same 30 MB
// for all that are, because they share batches; a queue of nothing takes 1 MB.
const laneEvents = 1 << 16

// sink takes events down. Its methods are called by one goroutine.
type sink interface {
	take(b *batch, missed uint64) // b is the sink's until it returns; missed were lost before it
	tick(now time.Time)           // from time to time
	close()                       // once, after the last batch
}

// batch is some events and what is needed to read them. All sinks share it and
// none changes it; it is used again when the last of them is done with it.
type batch struct {
	events []gateway.Event
	missed uint64
	rules  []gateway.Rule
	names  gateway.Names
	now    int64 // on the gateway's clock
	wall   time.Time

	pool   *sync.Pool
	owners atomic.Int32
}

func (b *batch) fill(g Source, events []gateway.Event, missed uint64) {
	if cap(b.events) > 2*len(events) {
		b.events = nil // few events are not to hold the room of many while they wait
	}
	b.events, b.missed = append(b.events[:0], events...), missed
	b.rules, b.names = g.Rules(), g.Frontends()
	b.now, b.wall = g.Now(), time.Now()
	b.owners.Store(1)
}

func (b *batch) release() {
	if b.owners.Add(-1) == 0 {
		b.pool.Put(b)
	}
}

// time converts a moment on the gateway's clock.
func (b *batch) time(at int64) time.Time { return b.wall.Add(time.Duration(at - b.now)).UTC() }

// rule returns the name of an event's rule, "" for none.
func (b *batch) rule(e *gateway.Event) string {
	if e.Rule < 0 || e.Rule >= len(b.rules) {
		return ""
	}
	return b.rules[e.Rule].Name
}

// lane is a sink with its queue.
type lane struct {
	sink
	name  string
	every time.Duration // between ticks
	queue chan delivery // with room for laneEvents batches: events that wait are counted, batches need not be
	lost  *atomic.Uint64
	over  <-chan struct{} // closed after the queue, when there is no time left

	waiting atomic.Int64 // events, those that the sink is taking too

	skipped uint64 // events since the last batch that found room; the follower's until the queue is closed
}

type delivery struct {
	*batch
	missed uint64
}

// offer queues a batch unless the sink is too far behind.
func (l *lane) offer(b *batch) {
	l.skip(b.missed)
	n := int64(len(b.events))
	if l.waiting.Load()+n > laneEvents {
		l.skip(uint64(n))
		return
	}
	l.waiting.Add(n)
	b.owners.Add(1)
	l.queue <- delivery{b, l.skipped}
	l.skipped = 0
}

func (l *lane) skip(n uint64) {
	l.skipped += n
	l.lost.Add(n)
}

// run feeds the sink until the queue is closed.
func (l *lane) run() {
	defer l.close()
	ticker := time.NewTicker(l.every)
	defer ticker.Stop()
	for {
		select {
		case d, open := <-l.queue:
			if !open {
				l.take(&batch{wall: time.Now()}, l.skipped)
				return
			}
			l.deliver(d)
		case now := <-ticker.C:
			l.tick(now)
		}
	}
}

func (l *lane) deliver(d delivery) {
	defer func() {
		l.waiting.Add(-int64(len(d.events)))
		d.release()
	}()
	select {
	case <-l.over:
		l.skip(uint64(len(d.events)))
	default:
		l.take(d.batch, d.missed)
	}
}
