package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"time"
)

// metric is one thing to measure, which may fill several lines of the report.
type metric struct {
	name    string
	without []string // peers that it has nothing to say about
	measure func(context.Context, *leg) error
}

var metrics = []metric{
	{name: "pps", measure: measurePackets},
	{name: "flows", measure: measureNewFlows},
	{name: "tcp", measure: measureBulk},
	{name: "crr", measure: measureConnections},
	{name: "latency", measure: measureLatency},
	{name: "memory", without: []string{"forward"}, measure: measureMemory},
	{name: "questions", without: []string{"forward", "nft"}, measure: measureQuestions},
	{name: "storm", without: []string{"forward", "nft"}, measure: measureStorm},
}

func metricNames() (names []string) {
	for _, m := range metrics {
		names = append(names, m.name)
	}
	return names
}

// plan is what to measure, on whom, how often and how long.
type plan struct {
	options
	metrics []metric
	peers   []peer
}

func newPlan(o options) (plan, error) {
	p := plan{options: o, metrics: metrics}
	var err error
	if o.only != "" {
		p.metrics, err = choose("metric", o.only, metrics, func(m metric) string { return m.name })
	}
	if err != nil {
		return p, err
	}
	p.peers, err = choose("peer", o.peers, peers(o.tidegate), peer.name)
	return p, err
}

// choose returns those of all that the comma-separated list names, in its order.
func choose[T any](what, list string, all []T, name func(T) string) (chosen []T, err error) {
	for n := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(all, func(t T) bool { return name(t) == n })
		if i < 0 {
			return nil, fmt.Errorf("bench: %s %q: is unknown", what, n)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// legTimeout ends a leg that hangs; the longest, questions, takes two minutes.
const legTimeout = 4 * time.Minute

// measure goes through all legs, interleaved. A leg that fails is told and left out;
// only the end of ctx ends the run.
func (p plan) measure(ctx context.Context) (report, error) {
	r := newReport(p)
	var readings []reading
	var errs []error
	for step := range p.steps() {
		if ctx.Err() != nil {
			errs = append(errs, errors.New("bench: interrupted"))
			break
		}
		r.Legs++
		if !waitQuiet(ctx) {
			r.Noisy++
		}
		fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(r.Date).Seconds(), step)
		got, err := p.leg(ctx, step)
		readings = append(readings, got...)
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("bench: measure %s: %w", step, err)
			fmt.Fprintln(os.Stderr, err)
			errs = append(errs, err)
		}
	}
	r.Lines = newLines(readings)
	return r, errors.Join(errs...)
}

// step is one metric of one peer in one round, from 0.
type step struct {
	metric metric
	peer   peer
	round  int
}

func (s step) String() string {
	return fmt.Sprintf("%s of %s, round %d", s.metric.name, s.peer.name(), s.round+1)
}

// steps yields the steps in their order: peers take turns, and the turns of a
// metric follow each other.
func (p plan) steps() iter.Seq[step] {
	return func(yield func(step) bool) {
		for _, m := range p.metrics {
			for round := range p.rounds {
				for _, peer := range p.peers {
					if !slices.Contains(m.without, peer.name()) && !yield(step{m, peer, round}) {
						return
					}
				}
			}
		}
	}
}

// leg takes a step on a fresh row.
func (p plan) leg(ctx context.Context, s step) (_ []reading, err error) {
	ctx, cancel := context.WithTimeout(ctx, legTimeout)
	defer cancel()
	r, err := newRow()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	l := &leg{row: r, peer: s.peer, duration: p.duration, round: s.round}
	if err := s.metric.measure(ctx, l); err != nil {
		return l.readings, errors.Join(err, context.Cause(ctx))
	}
	return l.readings, nil
}

// leg is one measurement under way.
type leg struct {
	*row
	peer     peer
	gateway  gateway // since start
	duration time.Duration
	round    int // from 0
	readings []reading
}

// start brings the peer up and makes sure that it does what it is there for.
func (l *leg) start(ctx context.Context, want load) error {
	g, err := l.peer.start(ctx, l.row, want)
	if err != nil {
		return err
	}
	l.gateway = g
	return l.verifyPath(l.peer.appearsAs())
}

// add puts a value into a line of the report that compares the peers.
func (l *leg) add(line, unit string, value float64) {
	l.readings = append(l.readings, reading{line, unit, l.peer.name(), l.round, value, true})
}

// note is add for a line whose values explain others: no ratio is made of them.
func (l *leg) note(line, unit string, value float64) {
	l.readings = append(l.readings, reading{line, unit, l.peer.name(), l.round, value, false})
}

// reading is one value of one line of the report.
type reading struct {
	line, unit, peer string
	round            int
	value            float64
	compared         bool
}
