package main

import (
	"context"
	"fmt"
)

// measureNewFlows floods the gateway with packets each of which begins a flow.
func measureNewFlows(ctx context.Context, l *leg) error {
	floor, err := l.generatorFloor(ctx)
	if err != nil {
		return err
	}
	if err := l.startForFlood(ctx, load{maxFlows: tableSize}); err != nil {
		return err
	}
	p, err := l.flood(ctx, 0)
	if err != nil {
		return err
	}
	n, err := l.gateway.flows(ctx)
	if err != nil {
		return err
	}
	if n > tableSize*9/10 {
		return fmt.Errorf("bench: flood of new flows: %d of at most %d are kept: the table is full; use a shorter -duration", n, tableSize)
	}
	return l.addFlood("new UDP flows", "flow", p, floor)
}
