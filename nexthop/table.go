package nexthop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"tidegate/packet"
)

// Options says what Open opens.
type Options struct {
	Inside, Outside string       // names of two different Ethernet interfaces
	IgnoreRules     []int        // priorities of `ip rule`s that are not worth a warning
	Log             *slog.Logger // nil: slog.Default
}

// Table keeps the current Snapshot. Snapshot, Changed, Solicit and Answer may be
// called by any goroutine, before, while and after Run runs.
// [I] immutable after Open, [A] atomic, [F] goroutine of follow only, by Open before.
type Table struct {
	log      *slog.Logger             // [I]
	ignore   []int                    // [I]
	kernel   kernel                   // [F]
	socket   events                   // [I]
	arp      [sides]*responder        // [I]
	asks     asks                     // [A]
	snapshot atomic.Pointer[Snapshot] // [A]
	changed  chan struct{}            // [I] capacity 1
	stop     chan struct{}            // [I] closed by Close
	stopping sync.Once
	running  sync.WaitGroup

	neighbours map[neighbourKey]neighbour // [F]
	asked      map[neighbourKey]time.Time // [F]
	warned     map[string]bool            // [F] rules named in the log
	due        *time.Timer                // [F] fires when a Snapshot is to be made
	earliest   time.Time                  // [F] and not before this
	stale      bool                       // [F] links and routes have to be read again
	lost       bool                       // [F] neighbours, too
	rereadIn   int                        // [F] ticks until everything is read again unasked
	complaints rate.Sometimes             // [F] of neighbours that cannot be asked for
}

// Open reads the kernel's state and makes the first Snapshot. The Table follows
// changes and answers ARP while Run runs.
func Open(o Options) (*Table, error) {
	t := &Table{log: o.Log, ignore: o.IgnoreRules, asks: asks{wake: make(chan struct{}, 1)},
		changed: make(chan struct{}, 1), stop: make(chan struct{}),
		asked: make(map[neighbourKey]time.Time), warned: make(map[string]bool), due: time.NewTimer(0),
		rereadIn: rereadSoon, complaints: rate.Sometimes{Interval: time.Minute}}
	if t.log == nil {
		t.log = slog.Default()
	}
	if err := t.open(o); err != nil {
		t.release()
		return nil, err
	}
	return t, nil
}

// open subscribes before it reads, so that no change is missed between.
func (t *Table) open(o Options) (err error) {
	if t.socket, err = openEvents(); err != nil {
		return err
	}
	if t.kernel, err = openKernel(); err != nil {
		return err
	}
	first := &Snapshot{}
	for side, name := range [sides]string{o.Inside, o.Outside} {
		if first.links[side], err = t.kernel.find(Side(side), name); err != nil {
			return err
		}
		if t.arp[side], err = openResponder(t, first.links[side], Side(side)); err != nil {
			return err
		}
	}
	if first.links[Inside].Index == first.links[Outside].Index {
		return fmt.Errorf("nexthop: open %s: it is both inside and outside; use two interfaces", o.Inside)
	}
	t.snapshot.Store(first)
	t.stale, t.lost = true, true
	return t.publish()
}

// Snapshot returns the current one. It costs one atomic load.
func (t *Table) Snapshot() *Snapshot { return t.snapshot.Load() }

// Changed is sent to after a new Snapshot was published, once for several if
// nobody receives. It is meant for one receiver, who lets parked packets try again.
func (t *Table) Changed() <-chan struct{} { return t.changed }

// Solicit asks the kernel to resolve the neighbour through which packets to dst
// leave. It does not block; the answer is a new Snapshot in which the neighbour is
// Resolved or, after three seconds of silence, Unreachable. A destination is
// asked for once a second at most, however often this is called.
func (t *Table) Solicit(dst packet.Addr) { t.asks.add(dst) }

// Answer makes the Table answer ARP on that side for these addresses, as far as
// the host does not carry them, instead of those of an earlier call. If they are
// not the same as before they are announced. Every address of a prefix counts.
func (t *Table) Answer(side Side, frontends []netip.Prefix) { t.arp[side].own(frontends) }

// Run follows the kernel and answers ARP until ctx or the Table is done. It can
// run only once and ends early only with an error.
func (t *Table) Run(ctx context.Context) error {
	t.running.Add(1)
	defer t.running.Done()
	defer context.AfterFunc(ctx, t.end)()
	defer t.end()
	changes := make(chan event, 256) // what one Receive brings fits in
	var g errgroup.Group
	run := func(f func() error) {
		g.Go(func() error {
			defer t.end()
			return f()
		})
	}
	run(func() error { return t.socket.read(changes, t.stop) })
	run(func() error { return t.follow(changes) })
	for _, r := range t.arp {
		run(r.answer)
		run(r.announce)
	}
	return g.Wait()
}

// Close ends Run, waits for it and releases the sockets.
func (t *Table) Close() error {
	t.end()
	t.running.Wait()
	return t.release()
}

// end stops Run; closing these sockets wakes the goroutines that wait on them.
func (t *Table) end() {
	t.stopping.Do(func() {
		close(t.stop)
		t.closeSockets()
	})
}

func (t *Table) closeSockets() {
	if t.socket.socket != nil {
		t.socket.socket.Close()
	}
	for _, r := range t.arp {
		if r != nil {
			_ = r.conn.Close()
		}
	}
}

func (t *Table) release() error {
	t.end()
	if t.kernel.handle != nil {
		t.kernel.handle.Close()
	}
	return nil
}

var errRemoved = errors.New("interface was removed; restart the gateway when it is back")
