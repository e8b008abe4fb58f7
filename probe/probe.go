// Package probe asks backends whether they serve, as an Azure load balancer's
// health probes do, and says which are up.
//
// A backend starts as down and unknown, since nothing may be sent to one that
// nobody has asked. Its first result decides alone: with no history there is
// nothing to hold against it, and a gateway that has just started should not let
// working backends wait. After that it takes Spec.Threshold results of the other
// kind in a row to change its state, with one exception: a backend that says no
// is down at once. Saying no is a refused or reset connection, one closed with
// the answer due, anything that is not HTTP or TLS where that is expected, and
// every status but 200, redirects too. Silence until Spec.Timeout, and what goes
// wrong on the way or in this host, counts to the threshold.
//
// What a backend answers is not trusted: a probe ends at its timeout and after
// 16 KiB whatever is sent, follows nothing, keeps no connection and no cookie, and
// takes no proxy from the environment. A target costs one goroutine, and while it
// is being asked one socket; none waits for another. Nothing here knows packets,
// rules or the gateway.
package probe

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Protocol is how a probe asks, in Azure's spelling.
type Protocol string

// The protocols of Azure's Standard load balancer.
const (
	TCP   Protocol = "Tcp"   // a connection opens; it is closed in good order
	HTTP  Protocol = "Http"  // GET is answered with 200
	HTTPS Protocol = "Https" // the same in TLS, whoever signed the certificate
)

// Spec is one configured probe.
type Spec struct {
	Name     string // unique among Options.Specs
	Protocol Protocol
	Port     uint16        // of the backend, 1–65535
	Path     string        // of HTTP and HTTPS, from "/", with a query maybe; empty for TCP
	Interval time.Duration // from the start of a probe to the start of the next, more than 0
	Timeout  time.Duration // for a whole probe, more than 0 and at most Interval

	// Threshold is how many results in a row change a known state, at least 1:
	// Azure's probeThreshold.
	Threshold int
}

// Target is one backend under one probe.
type Target struct {
	Probe   string // a Spec.Name
	Backend netip.Addr
}

// Options is what a Prober is made of. Source, Changed and Log may be nil.
type Options struct {
	Specs   []Spec
	Targets []Target // each at most once; its Probe names one of Specs

	// Source returns the local address to probe from, asked before each probe and
	// from many goroutines. The zero Addr, like a nil Source, lets the kernel choose.
	Source func() netip.Addr

	// Changed is told a target's first result, down too, and every change of its
	// state after that. It is called from the goroutine that probes the target, so
	// serially for a target and at once for several, after Status says the same. It
	// must return soon: the target's next probe waits for it.
	Changed func(Target, bool)

	Log *slog.Logger // nil: slog.Default
}

// Status is what is known of a target.
type Status struct {
	Target
	Up        bool
	Known     bool          // there was a result
	Since     time.Time     // of the result that made the present state; zero while not Known
	Last      time.Time     // of the last result; zero while not Known
	Took      time.Duration // by the last probe, from start to result
	Result    string        // of the last probe: one printable line, at most 120 bytes; empty while not Known
	Succeeded uint64        // probes since start
	Failed    uint64        // probes since start
}

// Prober probes a set of targets. It is safe for concurrent use.
// [I] immutable, [L] under mu.
type Prober struct {
	source  func() netip.Addr                                               // [I] never nil
	changed func(Target, bool)                                              // [I] never nil
	log     *slog.Logger                                                    // [I]
	ask     func(context.Context, *question, netip.Addr, netip.Addr) answer // [I] of ask.go, but for tests of time

	changing sync.Mutex // held by Replace, which waits for goroutines that need mu
	mu       sync.Mutex
	watches  []*watch        // [L] in the order of the targets
	ctx      context.Context // [L] Run's; nil before it
	running  sync.WaitGroup
}

// watch is one target that is probed. [I] immutable, [L] under Prober.mu.
type watch struct {
	Target                      // [I]
	question *question          // [I]
	offset   time.Duration      // [I] when it is first asked, after its start
	fresh    bool               // [L] not started yet
	state    state              // [L]
	stop     context.CancelFunc // [L] nil before its start
	done     chan struct{}      // [I] closed at its end
}

// New makes a Prober that Run starts. It fails on what can't be probed: the error
// names the probe or target, and the remedy.
func New(o Options) (*Prober, error) {
	p := &Prober{source: o.Source, changed: o.Changed, log: o.Log, ask: ask}
	if p.source == nil {
		p.source = func() netip.Addr { return netip.Addr{} }
	}
	if p.changed == nil {
		p.changed = func(Target, bool) {}
	}
	if p.log == nil {
		p.log = slog.Default()
	}
	_, err := p.Replace(o.Specs, o.Targets)
	return p, err
}

// Replace puts other probes and targets in place. Targets that stay with a probe that
// stays as it is go on undisturbed; where it is another one by the same name, what is
// known of them stands until it has asked. Those that come are asked at once; of those
// that go, which it returns, Changed hears no more when it returns. An error changes
// nothing.
func (p *Prober) Replace(specs []Spec, targets []Target) (gone []Target, err error) {
	p.changing.Lock()
	defer p.changing.Unlock()
	questions, err := newQuestions(specs)
	if err != nil {
		return nil, err
	}
	assigned, err := assign(questions, targets)
	if err != nil {
		return nil, err
	}
	stopped := p.exchange(targets, assigned)
	for _, w := range stopped {
		<-w.done // what it has found last comes before what its heir finds
	}
	return p.startNew(stopped), nil
}

// exchange puts the targets in place, and stops and returns those whose watch is over.
func (p *Prober) exchange(targets []Target, assigned []*question) (stopped []*watch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := make(map[Target]*watch, len(p.watches))
	for _, w := range p.watches {
		before[w.Target] = w
	}
	p.watches = nil
	for i, t := range targets {
		w := before[t]
		if w != nil && w.question.Spec == assigned[i].Spec {
			delete(before, t)
		} else {
			w = &watch{Target: t, question: assigned[i], fresh: true, done: make(chan struct{})}
			w.offset = offset(i, len(targets), w.question.Interval)
		}
		p.watches = append(p.watches, w)
	}
	for _, w := range before {
		if w.stop == nil {
			close(w.done)
		} else {
			w.stop()
		}
		stopped = append(stopped, w)
	}
	return stopped
}

// startNew begins to follow the targets that are new, with what was known of those that
// have been followed with another question, and returns those that are gone.
func (p *Prober) startNew(stopped []*watch) (gone []Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := make(map[Target]state, len(stopped))
	for _, w := range stopped {
		known[w.Target] = w.state
	}
	for _, w := range p.watches {
		if w.fresh {
			w.fresh, w.state = false, known[w.Target]
			w.state.against = 0
			delete(known, w.Target)
			p.start(w)
		}
	}
	for t := range known {
		gone = append(gone, t)
	}
	return gone
}

// Status returns what is known of each target, in the order of the targets.
func (p *Prober) Status() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Status, len(p.watches))
	for i, w := range p.watches {
		all[i] = w.state.Status
		all[i].Target = w.Target
	}
	return all
}
