package record

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/nat"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

func TestMain(m *testing.M) {
	// It sweeps rotated files for as long as the process lives.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

// past is a Source of events that are there already; what comes later is added.
type past struct {
	mu     sync.Mutex
	events []gateway.Event
	missed uint64          // before the first
	late   []gateway.Event // added when the first follower ends
}

func (p *past) add(events ...gateway.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, events...)
}

func (p *past) next(after uint64) (events []gateway.Event, missed uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.events {
		if p.events[i].Seq > after {
			if i == 0 {
				missed = p.missed
			}
			return p.events[i:min(len(p.events), i+256)], missed
		}
	}
	return nil, 0
}

func (p *past) Follow(ctx context.Context, after uint64, _ func() bool, yield func([]gateway.Event, uint64) error) error {
	for {
		events, missed := p.next(after)
		if len(events) > 0 {
			after = events[len(events)-1].Seq
			if err := yield(events, missed); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			p.add(p.late...)
			p.late = nil
			return nil
		case <-time.After(time.Millisecond):
		}
	}
}

func (*past) Rules() []gateway.Rule {
	return []gateway.Rule{
		{Name: "egress", Type: gateway.OutboundRule}, {Name: `so "called"`, Type: gateway.InboundNATRule},
		{Name: "web", Type: gateway.LoadBalancingRule},
	}
}

func (*past) Frontends() gateway.Names {
	return gateway.Names{packettest.Addr("203.0.113.5"): "public"}
}

func (*past) Now() int64 { return now }

const now = int64(time.Hour)

// batchOf is a batch that was read at noon.
func batchOf(events ...gateway.Event) *batch {
	b := new(batch)
	b.fill(&past{}, events, 0)
	b.wall = noon
	return b
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// outbound is a flow of 10.0.0.10:40000 to 198.51.100.7:443 through 203.0.113.5:1024
// that began a minute ago and was last seen ten seconds ago.
func outbound() conntrack.Flow {
	return conntrack.Flow{
		ID: 0x5f0e, State: conntrack.Established, Inside: true,
		Tuple: [2]packet.Tuple{
			packettest.Tuple(packet.TCP, "10.0.0.10:40000", "198.51.100.7:443"),
			packettest.Tuple(packet.TCP, "198.51.100.7:443", "203.0.113.5:1024"),
		},
		Created: now - int64(time.Minute), LastSeen: now - int64(10*time.Second),
		Packets: [2]uint64{10, 9}, Bytes: [2]uint64{900, 8000},
	}
}

// inbound is a flow of 198.51.100.9:5000 to 10.0.0.11:22 by 203.0.113.5:2222.
func inbound() conntrack.Flow {
	f := outbound()
	f.ID, f.Inside, f.Rule = 7, false, 1
	f.Tuple = [2]packet.Tuple{
		packettest.Tuple(packet.TCP, "198.51.100.9:5000", "203.0.113.5:2222"),
		packettest.Tuple(packet.TCP, "10.0.0.11:22", "198.51.100.9:5000"),
	}
	return f
}

func began(seq uint64, f conntrack.Flow) gateway.Event {
	return gateway.Event{Seq: seq, At: f.Created, Notice: gateway.Notice{Kind: gateway.FlowCreated, Rule: int(f.Rule)}, Flow: f}
}

func ended(seq uint64, f conntrack.Flow, why conntrack.Reason) gateway.Event {
	return gateway.Event{
		Seq: seq, At: now, Notice: gateway.Notice{Kind: gateway.FlowClosed, Rule: int(f.Rule)},
		Flow: f, Reason: why, Reset: why == conntrack.Idle,
	}
}

func exhausted(seq uint64) gateway.Event {
	return gateway.Event{Seq: seq, At: now, Notice: gateway.Notice{
		Kind: gateway.SNATExhausted, Rule: 0, Backend: packettest.Addr("10.0.0.10"), Protocol: packet.UDP,
		Towards: nat.Endpoint{Addr: packettest.Addr("198.51.100.7"), Port: 53}, Count: 12, Message: "No port left.",
	}}
}

// many are beginnings and ends by turns.
func many(n int) (events []gateway.Event) {
	for i := range n {
		f := outbound()
		f.ID = conntrack.ID(i / 2)
		if i%2 == 0 {
			events = append(events, began(uint64(i+1), f))
		} else {
			events = append(events, ended(uint64(i+1), f, conntrack.Fin))
		}
	}
	return events
}

// start runs a Recorder; stop ends it and returns what Run does.
func start(t *testing.T, o Options) (r *Recorder, stop func() error) {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	return r, stop
}

// until waits for what another goroutine does.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// silence is a log for what is not looked at.
var silence = slog.New(slog.DiscardHandler)
