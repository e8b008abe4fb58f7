package main

import (
	"context"
	"errors"
	"fmt"
)

var floodFlows = []uint64{64, 50_000}

// measurePackets floods the gateway with the smallest packets of flows that it knows.
func measurePackets(ctx context.Context, l *leg) error {
	floor, err := l.generatorFloor(ctx)
	if err != nil {
		return err
	}
	if err := l.startForFlood(ctx, load{}); err != nil {
		return err
	}
	for _, flows := range floodFlows {
		if err := l.visit(ctx, flows); err != nil {
			return err
		}
		p, err := l.flood(ctx, flows)
		if err != nil {
			return err
		}
		if err := l.addFlood(fmt.Sprintf("%d flows", flows), "packet", p, floor); err != nil {
			return err
		}
	}
	return nil
}

// generatorFloor returns how many microseconds of CPU time it costs to make a packet
// and to get it into the gateway's interface. It is measured as the gateway is
// going to be: the same flood, dropped there at ingress, before the gateway is
// started. The rest of what the machine spends on a delivered packet is the
// gateway's, the way to the server and the sink included, which are the same for
// all peers.
func (l *leg) generatorFloor(ctx context.Context) (float64, error) {
	if err := l.discard(ctx, l.gw, insideLink, ""); err != nil {
		return 0, err
	}
	p, err := l.flood(ctx, 0)
	if err != nil {
		return 0, err
	}
	l.note("generator's floor", "CPU µs/packet", p.busy/p.sent)
	return p.busy / p.sent, l.undiscard(ctx, l.gw)
}

// startForFlood starts the gateway and then the sink.
func (l *leg) startForFlood(ctx context.Context, want load) error {
	if err := l.start(ctx, want); err != nil {
		return err
	}
	return l.discard(ctx, l.server, serverLink, "")
}

// addFlood adds the lines of a flood. What was sent and not delivered was dropped
// by the gateway, or before it by the kernel because the gateway was busy: making
// it is the generator's cost, everything else is the gateway's.
func (l *leg) addFlood(what, unit string, p passage, floor float64) error {
	if p.delivered == 0 {
		return errors.New("bench: flood: nothing is delivered")
	}
	l.add(what+", delivered", "k "+unit+"s/s", p.delivered/p.seconds/1000)
	l.add(what+", cost", "CPU µs/"+unit, (p.busy-floor*p.sent)/p.delivered)
	l.note(what+", share delivered", "%", 100*p.delivered/p.sent)
	return nil
}
