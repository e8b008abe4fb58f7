// Package record writes down what a gateway's journal tells: log lines, a file of
// flow records, and NAT events for an IPFIX collector (RFC 7011, RFC 8158).
//
// One follower reads the journal and hands each sink the same events; every sink
// has a queue and a goroutine of its own, so that a full disk or a collector that
// is away holds up nobody else, least of all the gateway. What a sink could not
// take is counted, never waited for. Nothing here changes the gateway.
package record

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidegate/gateway"
)

// Source is what a Recorder needs of a gateway.
type Source interface {
	Follow(ctx context.Context, after uint64, beginnings func() bool, yield func(events []gateway.Event, missed uint64) error) error
	Rules() []gateway.Rule
	Frontends() gateway.Names
	Now() int64
}

// Options say what is recorded where. What is nil is not.
type Options struct {
	Gateway Source // needed
	Log     *slog.Logger
	File    *FileOptions
	IPFIX   *IPFIXOptions
}

// Recorder feeds the sinks. New makes one.
type Recorder struct {
	gateway Source
	lanes   []*lane
	batches sync.Pool
	over    context.Context // done: sinks wait for nothing any more
	cancel  context.CancelFunc
}

// New opens the file and the socket. Its errors name the key of the configuration
// that is to be changed.
func New(o Options) (*Recorder, error) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Recorder{gateway: o.Gateway, over: ctx, cancel: cancel}
	r.batches.New = func() any { return &batch{pool: &r.batches} }
	if o.Log != nil {
		r.add("log", limitWindow, newLogSink(o.Log))
	}
	if err := r.open(o); err != nil {
		cancel()
		for _, l := range r.lanes {
			l.close()
		}
		return nil, err
	}
	return r, nil
}

func (r *Recorder) open(o Options) error {
	if o.File != nil {
		lost := new(atomic.Uint64)
		s, err := newFileSink(*o.File, o.Log, lost)
		if err != nil {
			return err
		}
		r.add("file", fileFlush, s).lost = lost
	}
	if o.IPFIX != nil {
		lost := new(atomic.Uint64)
		s, err := newIPFIXSink(r.over, *o.IPFIX, lost)
		if err != nil {
			return err
		}
		r.add("ipfix", ipfixFlush, s).lost = lost
	}
	return nil
}

func (r *Recorder) add(name string, every time.Duration, s sink) *lane {
	l := &lane{
		name: name, sink: s, every: every, queue: make(chan delivery, laneEvents),
		lost: new(atomic.Uint64), over: r.over.Done(),
	}
	r.lanes = append(r.lanes, l)
	return l
}

// drainTime is how long Run goes on after its context is done.
const drainTime = time.Second

// Run records what happens from the start of the journal on. When ctx is done it
// records what is left, for a second at most, closes the sinks and returns nil. It
// is to be called once.
func (r *Recorder) Run(ctx context.Context) error {
	var lanes sync.WaitGroup
	for _, l := range r.lanes {
		lanes.Go(l.run)
	}
	after := uint64(0)
	yield := func(events []gateway.Event, missed uint64) error {
		after = events[len(events)-1].Seq
		r.feed(events, missed)
		return nil
	}
	err := r.gateway.Follow(ctx, after, r.beginnings, yield)
	end := time.Now().Add(drainTime)
	return errors.Join(err, r.drain(&after, yield, end), r.finish(&lanes, end))
}

// beginnings says whether anybody records flows that begin: a log above debug does not.
func (r *Recorder) beginnings() bool {
	return slices.ContainsFunc(r.lanes, func(l *lane) bool {
		log, ok := l.sink.(*logSink)
		return !ok || log.log.Enabled(context.Background(), slog.LevelDebug)
	})
}

// drain feeds what has happened since the follower was stopped: following with a
// context that is done gives one more batch.
func (r *Recorder) drain(after *uint64, yield func([]gateway.Event, uint64) error, end time.Time) error {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for time.Now().Before(end) {
		was := *after
		if err := r.gateway.Follow(over, was, r.beginnings, yield); err != nil || *after == was {
			return err
		}
	}
	return nil
}

var errSlow = errors.New("record: close: a sink did not take its last events within a second; see tidegate_events_lost_total")

// finish lets the sinks write what is queued; at end they stop waiting for others.
func (r *Recorder) finish(lanes *sync.WaitGroup, end time.Time) error {
	for _, l := range r.lanes {
		close(l.queue)
	}
	idle := make(chan struct{})
	go func() { lanes.Wait(); close(idle) }()
	patience := time.AfterFunc(time.Until(end), r.cancel)
	defer patience.Stop()
	defer r.cancel()
	select {
	case <-idle:
		return nil
	case <-time.After(time.Until(end) + drainTime/4): // a log that blocks can't be cancelled
		return errSlow
	}
}

func (r *Recorder) feed(events []gateway.Event, missed uint64) {
	b := r.batches.Get().(*batch)
	b.fill(r.gateway, events, missed)
	for _, l := range r.lanes {
		l.offer(b)
	}
	b.release()
}

// Lost returns how many events each sink has not recorded since the start, because
// they came too fast for it or could not be written.
func (r *Recorder) Lost() map[string]uint64 {
	lost := make(map[string]uint64, len(r.lanes))
	for _, l := range r.lanes {
		lost[l.name] = l.lost.Load()
	}
	return lost
}
