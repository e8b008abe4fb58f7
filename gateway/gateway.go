package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tidegate/conntrack"
	"tidegate/fragment"
	"tidegate/nat"
)

// RuleType is the section of the configuration that a rule comes from.
type RuleType string

// The rule types, as users see them.
const (
	OutboundRule      RuleType = "outboundRule"
	InboundNATRule    RuleType = "inboundNatRule"
	LoadBalancingRule RuleType = "loadBalancingRule"
	InstancePublicIP  RuleType = "instancePublicIP"
)

// Rule is what holds for every flow of one rule.
type Rule struct {
	Name    string
	Type    RuleType
	Idle    time.Duration
	UDPIdle time.Duration // the same for UDP; 0 means Idle
	Reset   bool          // enableTcpReset
	Late    bool          // lateTcpReset: whoever speaks without a flow gets a RST
	Ask     bool          // keepaliveBeforeReset
	Silent  bool          // HA ports on an internal frontend: no RST, whatever happens
	Removed bool          // it is no longer in the configuration
}

// Options is everything a Gateway is made of.
type Options struct {
	MaxFlows int
	Timers   conntrack.Timers
	Rules    []Rule          // numbered as in the Policy
	Names    Names           // of the frontend configurations
	Policy   *nat.Policy     // the Gateway owns it from now on
	Pools    []*nat.Pool     // of its load-balancing rules, likewise
	Workers  []Port          // one goroutine each
	Control  Port            // writers of the control goroutine; Reader is nil
	Changed  <-chan struct{} // a neighbour or a route has changed; nil if they never do
	Now      func() int64    // monotonic nanoseconds
	Log      *slog.Logger
}

// Gateway is a running translator. Its methods are safe for concurrent use.
type Gateway struct {
	public  atomic.Pointer[public]
	now     func() int64
	log     *slog.Logger
	changed <-chan struct{}
	ids     atomic.Uint32
	workers []*worker
	control *control
	balance balance

	mu         sync.Mutex // all below; held for one batch, or one slice of a listing
	rules      []Rule     // replaced as a whole, never changed
	timers     conntrack.Timers
	table      *conntrack.Table
	policy     *nat.Policy
	journal    journal
	waiting    waitingRoom
	taps       taps
	fragments  *fragment.Table
	counters   Counters
	short      map[shortage]uint64 // flows without a port since the log named the member
	resetLimit limit               // answers for flows that were given up, or can't begin
	lateLimit  limit               // answers to packets of flows that are not known at all
	icmpLimit  [2]limit            // by the side that is told: strangers must not use up what members need
}

const (
	// Answers the gateway gives to packets of flows it has given up: enough for
	// every flow of a full table to ask back within half a minute.
	resetsPerSecond = 50_000

	// Answers to segments of unknown flows, which strangers may send: enough for a
	// restart among 100,000 connections.
	latePerSecond = 10_000

	// ICMP errors; Linux sends up to 1,000 a second too (icmp_msgs_per_sec).
	icmpPerSecond = 1_000
	icmpBurst     = 50
)

// New makes a Gateway, which forwards once Run is called.
func New(o Options) (*Gateway, error) {
	g := &Gateway{
		rules: o.Rules, timers: o.Timers, now: o.Now, log: o.Log, changed: o.Changed, policy: o.Policy,
		counters:   newCounters(len(o.Rules)),
		fragments:  fragment.New(),
		journal:    newJournal(),
		short:      make(map[shortage]uint64),
		resetLimit: newLimit(resetsPerSecond, resetsPerSecond),
		lateLimit:  newLimit(latePerSecond, latePerSecond),
		icmpLimit:  [2]limit{newLimit(icmpPerSecond, icmpBurst), newLimit(icmpPerSecond, icmpBurst)},
	}
	g.public.Store(&public{o.Rules, o.Names})
	table, err := conntrack.New(o.MaxFlows, o.Timers, ends(o.Rules), o.Now())
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.table = table
	for _, p := range o.Workers {
		g.workers = append(g.workers, newWorker(g, p))
	}
	g.control = newControl(g, o.Control)
	g.balance = newBalance(o.Pools)
	return g, g.control.rebalance()
}

// Run forwards until ctx is done or a queue fails, and returns the first error.
// It closes the workers' queues.
func (g *Gateway) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	run := func(serve func(context.Context) error) {
		group.Go(func() error {
			err := serve(ctx)
			if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
				return nil // closed below; one worker's queue may be what others write to
			}
			return err
		})
	}
	for _, w := range g.workers {
		run(w.run)
	}
	run(g.control.run)
	group.Go(func() error {
		<-ctx.Done()
		for _, w := range g.workers {
			w.port.Reader.Close()
		}
		return nil
	})
	return group.Wait()
}

// Close gives the flow table's memory back. Run must have returned.
func (g *Gateway) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.table.Close()
}

// resetReasons are why a flow that ended for a reason is reset.
var resetReasons = [conntrack.NumReasons]ResetReason{
	conntrack.Idle: ResetIdle, conntrack.Killed: ResetKilled, conntrack.Drained: ResetDrained, conntrack.RuleRemoved: ResetRemoved,
}

// settle gives a flow's port back, and counts and writes down its end and the resets
// it is owed.
func (g *Gateway) settle(e *conntrack.Ended, now int64) {
	g.journal.ended(e, now)
	answers := e.Tuple[conntrack.Reply]
	g.policy.Release(e.Owner, nat.Endpoint{Addr: answers.Dst, Port: answers.DstPort}, e.Tuple[conntrack.Original].SrcPort)
	g.counters.Closed[e.Rule][conntrack.ProtocolIndex(e.Tuple[0].Proto)][e.Reason]++
	if e.Reset {
		sent := &g.counters.Resets[e.Rule][resetReasons[e.Reason]]
		sent[conntrack.Original]++
		sent[conntrack.Reply]++
	}
}

// nextID returns an IP identification for a packet of the gateway's own.
func (g *Gateway) nextID() uint16 { return uint16(g.ids.Add(1)) }
