package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// question is something that operators ask a gateway with very many flows.
type question struct {
	name string
	path string   // asked over HTTP, or
	args []string // by the program's own command line
}

var questions = []question{
	{name: "flows --limit 50", args: []string{"flows", "--limit", "50"}},
	{name: "filtered count", args: []string{"flows", "proto=udp", "remote=198.18.7.0/24", "idle>1s", "--limit", "1"}},
	{name: "scrape", path: "/metrics"},
	{name: "dashboard: idle ages", path: "/v1/idle"},
	{name: "dashboard: status", path: "/v1/status"},
	{name: "dashboard: ports", path: "/v1/ports?by=backend&held=false"},
}

const (
	// askEvery is more often than a dashboard or a scrape asks.
	askEvery = time.Second
	// turns is how often each question, and silence, has its turn.
	turns = 4
)

// asker is a gateway that can be asked.
type asker interface {
	ask(context.Context, question) (time.Duration, error)
}

// measureQuestions fills the gateway with a million flows and asks, while a
// connection that has nothing to do with it goes on: how long an answer takes, and
// what the connection feels of it, beside times in which nobody asks.
func measureQuestions(ctx context.Context, l *leg) error {
	if err := l.start(ctx, load{maxFlows: defaultFlows}); err != nil {
		return err
	}
	if err := l.discard(ctx, l.server, serverLink, "ip daddr "+farPrefix.String()); err != nil {
		return err // the server answers the connection, and not the flood
	}
	if err := l.fill(ctx); err != nil {
		return err
	}
	g, ok := l.gateway.(asker)
	if !ok {
		return errors.New("bench: this peer can't be asked")
	}
	pinger, err := l.startPing(ctx, pingOrder{Interval: pingInterval})
	if err != nil {
		return err
	}
	spells, err := askInTurns(ctx, g, l.duration)
	if err != nil {
		return err
	}
	pinger.stop()
	var pings pingResult
	if err := pinger.result(&pings); err != nil {
		return err
	}
	return l.addQuestions(spells, pings)
}

// spell is a time in which one question was asked again and again, or none.
type spell struct {
	question string // empty: none
	from, to int64  // as pingResult has it
	took     []float64
}

// askInTurns has silence and each question take turns.
func askInTurns(ctx context.Context, g asker, each time.Duration) (all []spell, err error) {
	time.Sleep(askEvery)
	for range turns {
		for _, q := range append([]question{{}}, questions...) {
			s := spell{question: q.name, from: monotonic()}
			for end := time.Now().Add(each); time.Now().Before(end); {
				began := time.Now()
				if q.name != "" {
					took, err := g.ask(ctx, q)
					if err != nil {
						return nil, err
					}
					s.took = append(s.took, float64(took.Microseconds())/1000)
				}
				time.Sleep(time.Until(began.Add(askEvery)))
			}
			s.to = monotonic()
			all = append(all, s)
		}
	}
	return all, nil
}

func (l *leg) addQuestions(spells []spell, pings pingResult) error {
	quiet := p99Of(spells, "", pings)
	if quiet == 0 {
		return errors.New("bench: questions: the unrelated connection stood still")
	}
	l.note("1,000,000 flows, nobody asks, unrelated p99", "µs", quiet)
	for _, q := range questions {
		var took []float64
		for _, s := range spells {
			if s.question == q.name {
				took = append(took, s.took...)
			}
		}
		l.note("1,000,000 flows, "+q.name+", median", "ms", median(took))
		l.note("1,000,000 flows, "+q.name+", slowest", "ms", slices.Max(took))
		l.note("1,000,000 flows, "+q.name+", unrelated p99 ÷ that when nobody asks", "×", p99Of(spells, q.name, pings)/quiet)
	}
	return nil
}

// p99Of is the median over the turns of a question of the p99 of the round trips in it.
func p99Of(spells []spell, question string, pings pingResult) float64 {
	var all []float64
	for _, s := range spells {
		if trips := pings.trips(s.from, s.to); s.question == question && len(trips) > 0 {
			all = append(all, percentile(trips, 99))
		}
	}
	if len(all) == 0 {
		return 0
	}
	return median(all)
}

// ask implements asker. The command line's time is that of the whole process.
func (g *tidegateGateway) ask(ctx context.Context, q question) (time.Duration, error) {
	began := time.Now()
	if q.path != "" {
		_, err := g.get(ctx, q.path)
		return time.Since(began), err
	}
	cmd := exec.CommandContext(ctx, g.program, append([]string{"--api", "unix:" + g.socket}, q.args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("bench: ask tidegate %v: %w: %s", q.args, err, out)
	}
	return time.Since(began), nil
}
