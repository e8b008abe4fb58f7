package record

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"tidegate/conntrack"
	"tidegate/gateway"
)

const (
	// Lines for each type and reason of event: what a person can still follow, and
	// what shows all of a small burst.
	linesPerSecond = 10
	lineBurst      = 20

	// limitWindow is after how long what was suppressed is told at the latest.
	limitWindow = time.Second
)

// topic is what the rate is limited by.
type topic struct {
	kind   gateway.EventKind
	reason conntrack.Reason // of FlowClosed
}

func (t topic) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("type", t.kind.String())}
	if t.kind == gateway.FlowClosed {
		attrs = append(attrs, slog.String("reason", t.reason.String()))
	}
	return attrs
}

// budget is what a topic may still say.
type budget struct {
	*rate.Limiter
	suppressed uint64 // lines since the last one
}

// logSink writes a line for each event.
type logSink struct {
	log     *slog.Logger
	budgets map[topic]*budget
	missed  uint64 // since it was last told
}

func newLogSink(log *slog.Logger) *logSink {
	return &logSink{log: log, budgets: make(map[topic]*budget)}
}

func level(e *gateway.Event) slog.Level {
	switch e.Kind {
	case gateway.FlowCreated:
		return slog.LevelDebug
	case gateway.FlowClosed:
		return closedLevel(e.Reason)
	case gateway.SNATExhausted, gateway.BackendDown, gateway.ConfigRejected:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// closedLevel tells the ends that the hosts chose from those that the gateway did.
func closedLevel(r conntrack.Reason) slog.Level {
	switch r {
	case conntrack.Fin, conntrack.Rst, conntrack.HalfOpen:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func (s *logSink) take(b *batch, missed uint64) {
	s.missed += missed
	now := time.Now()
	for i := range b.events {
		e := &b.events[i]
		if l := level(e); s.log.Enabled(context.Background(), l) {
			s.line(b, e, l, now)
		}
	}
}

func (s *logSink) line(b *batch, e *gateway.Event, l slog.Level, now time.Time) {
	t := topic{kind: e.Kind}
	if e.Kind == gateway.FlowClosed {
		t.reason = e.Reason
	}
	left := s.budget(t)
	if !left.AllowN(now, 1) {
		left.suppressed++
		return
	}
	attrs := t.attrs()
	if rule := b.rule(e); rule != "" {
		attrs = append(attrs, slog.String("rule", rule))
	}
	message := e.Message
	if e.HasFlow() {
		message = sentences[e.Kind]
		attrs = append(attrs, flowAttrs(e)...)
	}
	if left.suppressed > 0 {
		attrs = append(attrs, slog.Uint64("suppressed", left.suppressed))
		left.suppressed = 0
	}
	s.log.LogAttrs(context.Background(), l, message, attrs...)
}

var sentences = map[gateway.EventKind]string{gateway.FlowCreated: "a flow began", gateway.FlowClosed: "a flow ended"}

func (s *logSink) budget(t topic) *budget {
	left := s.budgets[t]
	if left == nil {
		left = &budget{Limiter: rate.NewLimiter(linesPerSecond, lineBurst)}
		s.budgets[t] = left
	}
	return left
}

func flowAttrs(e *gateway.Event) []slog.Attr {
	f, ends := &e.Flow, e.Flow.Ends()
	attrs := []slog.Attr{
		slog.String("flow", fmt.Sprintf("%016x", uint64(f.ID))),
		slog.String("protocol", f.Tuple[0].Proto.String()),
		slog.String("internal", ends.Internal.String()),
		slog.String("external", ends.External.String()),
		slog.String("remote", ends.Remote.String()),
		slog.String("state", f.State.String()),
	}
	if e.Kind == gateway.FlowCreated {
		return attrs
	}
	out := f.Outward()
	attrs = append(attrs, slog.Duration("duration", time.Duration(e.At-f.Created).Round(time.Millisecond)),
		slog.Uint64("packetsOut", f.Packets[out]), slog.Uint64("packetsIn", f.Packets[out^1]),
		slog.Uint64("bytesOut", f.Bytes[out]), slog.Uint64("bytesIn", f.Bytes[out^1]))
	if e.Reset {
		attrs = append(attrs, slog.String("resets", "client,server"))
	}
	return attrs
}

// tick tells what was suppressed of topics that have fallen silent; the others
// tell it themselves with their next line.
func (s *logSink) tick(now time.Time) {
	for t, left := range s.budgets {
		if left.suppressed > 0 && left.AllowN(now, 1) {
			s.tell(t, left)
		}
	}
	s.tellMissed()
}

func (s *logSink) tellMissed() {
	if s.missed > 0 {
		s.log.Warn("events came faster than they could be logged", "missed", s.missed)
		s.missed = 0
	}
}

func (s *logSink) tell(t topic, left *budget) {
	e := gateway.Event{Notice: gateway.Notice{Kind: t.kind}, Reason: t.reason}
	attrs := append(t.attrs(), slog.Uint64("suppressed", left.suppressed))
	left.suppressed = 0
	s.log.LogAttrs(context.Background(), level(&e), "more events of a kind than lines for them", attrs...)
}

func (s *logSink) close() {
	for t, left := range s.budgets {
		if left.suppressed > 0 {
			s.tell(t, left)
		}
	}
	s.tellMissed()
}
