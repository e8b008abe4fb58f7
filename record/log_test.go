package record

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/conntrack"
	"tidegate/gateway"
)

// page is a log to read.
type page struct {
	bytes.Buffer
	*slog.Logger
}

func newPage(level slog.Level) *page {
	p := new(page)
	p.Logger = slog.New(slog.NewJSONHandler(&p.Buffer, &slog.HandlerOptions{Level: level}))
	return p
}

// lines returns what was logged since the last time.
func (p *page) lines(t *testing.T) (lines []map[string]any) {
	t.Helper()
	for d := json.NewDecoder(&p.Buffer); d.More(); {
		var line map[string]any
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		delete(line, "time")
		lines = append(lines, line)
	}
	p.Reset()
	return lines
}

func TestLogLines(t *testing.T) {
	p := newPage(slog.LevelDebug)
	down := gateway.Event{Notice: gateway.Notice{Kind: gateway.BackendDown, Rule: -1, Message: "10.0.0.10 is down."}}
	newLogSink(p.Logger).take(batchOf(began(1, outbound()), ended(2, inbound(), conntrack.Idle), exhausted(3), down), 0)
	want := []map[string]any{
		{"level": "DEBUG", "msg": "a flow began", "type": "flow.created", "rule": "egress", "flow": "0000000000005f0e", "protocol": "tcp",
			"internal": "10.0.0.10:40000", "external": "203.0.113.5:1024", "remote": "198.51.100.7:443", "state": "ESTABLISHED"},
		{"level": "INFO", "msg": "a flow ended", "type": "flow.closed", "reason": "idle", "rule": `so "called"`, "flow": "0000000000000007",
			"protocol": "tcp", "internal": "10.0.0.11:22", "external": "203.0.113.5:2222", "remote": "198.51.100.9:5000",
			"state": "ESTABLISHED", "duration": 60e9, "packetsOut": 9., "packetsIn": 10., "bytesOut": 8000., "bytesIn": 900., "resets": "client,server"},
		{"level": "WARN", "msg": "No port left.", "type": "snat.exhausted", "rule": "egress"},
		{"level": "WARN", "msg": "10.0.0.10 is down.", "type": "backend.down"},
	}
	if diff := cmp.Diff(want, p.lines(t)); diff != "" {
		t.Error(diff)
	}
}

func TestLevels(t *testing.T) {
	closed := map[conntrack.Reason]slog.Level{
		conntrack.Fin: slog.LevelDebug, conntrack.Rst: slog.LevelDebug, conntrack.HalfOpen: slog.LevelDebug,
		conntrack.Idle: slog.LevelInfo, conntrack.Killed: slog.LevelInfo, conntrack.RuleRemoved: slog.LevelInfo,
		conntrack.BackendDown: slog.LevelInfo, conntrack.Drained: slog.LevelInfo,
	}
	for reason := range conntrack.NumReasons {
		e := ended(1, outbound(), reason)
		if got, want := level(&e), closed[reason]; got != want {
			t.Errorf("%v is %v, want %v", reason, got, want)
		}
	}
	kinds := map[gateway.EventKind]slog.Level{
		gateway.FlowCreated: slog.LevelDebug, gateway.SNATExhausted: slog.LevelWarn, gateway.ConfigRejected: slog.LevelWarn,
		gateway.BackendDown: slog.LevelWarn, gateway.BackendUp: slog.LevelInfo, gateway.ConfigReloaded: slog.LevelInfo,
	}
	for kind, want := range kinds {
		if got := level(&gateway.Event{Notice: gateway.Notice{Kind: kind}}); got != want {
			t.Errorf("%v is %v, want %v", kind, got, want)
		}
	}
}

// suppressed adds up what lines say is not there.
func suppressed(lines []map[string]any) (n int) {
	for _, l := range lines {
		if s, ok := l["suppressed"].(float64); ok {
			n += int(s)
		}
	}
	return n
}

// A thousand events a second for three seconds, beside one of another kind: every
// one is a line or counted by one, and the lines keep to the rate.
func TestLogRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPage(slog.LevelInfo)
		s := newLogSink(p.Logger)
		for range 300 {
			s.take(batchOf(slicesOf(10, ended(1, outbound(), conntrack.Idle))...), 0)
			time.Sleep(10 * time.Millisecond)
		}
		s.take(batchOf(ended(1, outbound(), conntrack.Killed)), 0)
		lines := p.lines(t)
		if n := len(lines) - 1; n < lineBurst+2*linesPerSecond || n > lineBurst+3*linesPerSecond+1 {
			t.Errorf("%d lines in three seconds", n)
		}
		if last := lines[len(lines)-1]; last["reason"] != "killed" || last["suppressed"] != nil {
			t.Errorf("another reason has no lines of its own: %v", last)
		}
		time.Sleep(limitWindow)
		s.tick(time.Now())
		rest := p.lines(t)
		if len(rest) != 1 || rest[0]["reason"] != "idle" || rest[0]["level"] != "INFO" {
			t.Fatalf("the end of the window says %v", rest)
		}
		if told := len(lines) - 1 + suppressed(lines) + suppressed(rest); told != 3000 {
			t.Errorf("%d of 3000 events are accounted for", told)
		}
		s.tick(time.Now())
		s.close()
		if again := p.lines(t); len(again) != 0 {
			t.Errorf("told twice: %v", again)
		}
	})
}

func slicesOf(n int, e gateway.Event) []gateway.Event {
	events := make([]gateway.Event, n)
	for i := range events {
		events[i] = e
	}
	return events
}

// What the level hides is neither a line nor counted, and costs next to nothing.
func TestLogOff(t *testing.T) {
	p := newPage(slog.LevelInfo)
	s, b := newLogSink(p.Logger), batchOf(slicesOf(256, began(1, outbound()))...)
	if n := testing.AllocsPerRun(10, func() { s.take(b, 0) }); n != 0 {
		t.Errorf("%v allocations for lines that nobody sees", n)
	}
	s.close()
	if p.Len() != 0 {
		t.Error(p.String())
	}
}

func TestLogMissed(t *testing.T) {
	p := newPage(slog.LevelInfo)
	s := newLogSink(p.Logger)
	s.take(batchOf(), 4)
	s.take(batchOf(), 3)
	s.tick(time.Now())
	s.tick(time.Now())
	if out := p.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, `"missed":7`) {
		t.Error(out)
	}
	p.Reset()
	s.take(batchOf(), 2) // as a lane does last
	s.close()
	if out := p.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, `"missed":2`) {
		t.Error("at the end:", out)
	}
}
