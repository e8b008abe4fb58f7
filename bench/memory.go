package main

import (
	"context"
	"fmt"
)

const (
	manyFlows = 1_000_000
	// nearlyAll is enough of them: for a gateway that loses packets, floods that fill
	// the last ones in would take longer than they tell.
	nearlyAll = manyFlows * 95 / 100
	fillTries = 5
)

// collector is a gateway with a garbage collector.
type collector interface {
	// collections makes the garbage collector run a few times and says what
	// that took.
	collections(context.Context) ([]collection, error)
}

// measureMemory fills the gateway with a million flows and looks what that takes:
// memory, by its own count and by the machine's, and the garbage collector's time.
func measureMemory(ctx context.Context, l *leg) error {
	if err := l.startForFlood(ctx, load{traceGC: true}); err != nil {
		return err
	}
	if err := l.addCollections(ctx, "0 flows"); err != nil {
		return err
	}
	before, err := l.footprint(ctx)
	if err != nil {
		return err
	}
	if err := l.fill(ctx); err != nil {
		return err
	}
	after, err := l.footprint(ctx)
	if err != nil {
		return err
	}
	more := float64(after.flows - before.flows)
	l.add("1,000,000 flows, growth of the gateway", "B/flow", float64(after.own-before.own)/more)
	l.add("1,000,000 flows, gateway in all", "B/flow", float64(after.own)/float64(after.flows))
	l.add("1,000,000 flows, growth of the machine", "B/flow", float64(before.available-after.available)/more)
	return l.addCollections(ctx, "1,000,000 flows")
}

// fill makes nearly all of the flows.
func (l *leg) fill(ctx context.Context) error {
	flows := 0
	for range fillTries {
		if err := l.visit(ctx, manyFlows); err != nil {
			return err
		}
		var err error
		if flows, err = l.gateway.flows(ctx); err != nil {
			return err
		}
		if flows >= nearlyAll {
			return nil
		}
	}
	return fmt.Errorf("bench: fill with %d flows: there are %d", manyFlows, flows)
}

// footprint is what a gateway takes at a moment, in bytes.
type footprint struct {
	flows          int
	own, available int64 // by its own count; what the machine still has
}

func (l *leg) footprint(ctx context.Context) (f footprint, err error) {
	if f.flows, err = l.gateway.flows(ctx); err != nil {
		return f, err
	}
	if f.own, err = l.gateway.memory(); err != nil {
		return f, err
	}
	f.available, err = availableMemory()
	return f, err
}

func (l *leg) addCollections(ctx context.Context, when string) error {
	c, ok := l.gateway.(collector)
	if !ok {
		return nil
	}
	all, err := c.collections(ctx)
	if err != nil {
		return err
	}
	var work, pause []float64
	for _, one := range all {
		work, pause = append(work, one.work), append(pause, one.pause)
	}
	l.note("garbage collection at "+when+", work", "CPU ms/cycle", median(work))
	l.note("garbage collection at "+when+", all stopped", "ms/cycle", median(pause))
	return nil
}
