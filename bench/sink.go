package main

import (
	"context"
	"fmt"
	"time"
)

// discard drops what comes in on an interface before the kernel's stack sees it,
// all of it or what matches; the interface still counts it, and packet sockets
// still see it. It is the sink: nothing answers, and a packet costs the least that
// the kernel can spend on one.
func (r *row) discard(ctx context.Context, n node, iface, match string) error {
	return r.loadNFT(ctx, n, fmt.Sprintf(`table netdev sink {
	chain ingress {
		type filter hook ingress device %q priority 0;
		%s drop
	}
}`, iface, match))
}

// undiscard takes discard back.
func (r *row) undiscard(ctx context.Context, n node) error {
	return r.loadNFT(ctx, n, "delete table netdev sink")
}

// snapshot is what the counters of a row say at a moment.
type snapshot struct {
	at        time.Time
	busy      time.Duration // of all CPUs
	sent      uint64        // packets that left the client
	delivered uint64        // packets that came to the server
}

func (r *row) snapshot() (s snapshot, err error) {
	client, err := r.client.netlink.LinkByName(clientLink)
	if err != nil {
		return s, fmt.Errorf("bench: read counters of client: %w", err)
	}
	server, err := r.server.netlink.LinkByName(serverLink)
	if err != nil {
		return s, fmt.Errorf("bench: read counters of server: %w", err)
	}
	s.sent = client.Attrs().Statistics.TxPackets
	s.delivered = server.Attrs().Statistics.RxPackets
	s.at = time.Now()
	s.busy, err = busyTime()
	return s, err
}

// passage is what went on between two snapshots.
type passage struct {
	seconds         float64
	busy            float64 // microseconds of CPU time
	sent, delivered float64 // packets
}

func (s snapshot) until(t snapshot) passage {
	return passage{
		seconds:   t.at.Sub(s.at).Seconds(),
		busy:      float64((t.busy - s.busy).Microseconds()),
		sent:      float64(t.sent - s.sent),
		delivered: float64(t.delivered - s.delivered),
	}
}

// warmUp is how long a flood runs before it counts: caches, clocks, schedulers.
const warmUp = 300 * time.Millisecond

// flood lets the generator run and says what happened after the warm-up. Flows as
// in floodOrder.
func (l *leg) flood(ctx context.Context, flows uint64) (passage, error) {
	idle, err := l.snapshot()
	if err != nil {
		return passage{}, err
	}
	generator, err := startChild(ctx, l.client, "flood", l.floodOrder(flows))
	if err != nil {
		return passage{}, err
	}
	defer generator.Close()
	if err := l.awaitFlood(ctx, idle, generator); err != nil {
		return passage{}, err
	}
	before, err := l.snapshotAfter(ctx, warmUp)
	if err != nil {
		return passage{}, err
	}
	after, err := l.snapshotAfter(ctx, l.duration)
	return before.until(after), err
}

func (r *row) snapshotAfter(ctx context.Context, d time.Duration) (snapshot, error) {
	if err := sleep(ctx, d); err != nil {
		return snapshot{}, err
	}
	return r.snapshot()
}

// awaitFlood waits until more is sent than a host sends by itself.
func (r *row) awaitFlood(ctx context.Context, idle snapshot, generator *child) error {
	for range 500 {
		now, err := r.snapshotAfter(ctx, 10*time.Millisecond)
		if err != nil {
			return err
		}
		if now.sent-idle.sent > batchSize {
			return nil
		}
	}
	return fmt.Errorf("bench: flood: nothing is sent: %s", generator.Output())
}
