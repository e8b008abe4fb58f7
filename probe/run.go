package probe

import (
	"context"
	"sync"
	"time"
)

const (
	// spread is how far apart the first probes of many targets may be: little
	// beside any interval, and long enough for 5,000 not to be a burst.
	spread = time.Second
	// burst targets or fewer are all asked at once.
	burst = 32
)

// Run probes until ctx is done and then returns nil, when the last goroutine has
// ended and the last socket is closed. The first probe of each target goes out at
// once, or within a second where there are many. It may be called once.
func (p *Prober) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for i := range p.targets {
		all.Go(func() { p.follow(ctx, i) })
	}
	all.Wait()
	<-ctx.Done()
	return nil
}

// offset is when target i of n is first asked: always the same, and evenly apart.
func offset(i, n int, interval time.Duration) time.Duration {
	if n <= burst {
		return 0
	}
	return min(spread, interval) * time.Duration(i) / time.Duration(n)
}

// follow probes one target for good. The ticker drops what a slow probe missed,
// so that nothing is made up for in a burst.
func (p *Prober) follow(ctx context.Context, i int) {
	q := p.questions[i]
	if !rest(ctx, time.After(offset(i, len(p.targets), q.Interval))) {
		return
	}
	tick := time.NewTicker(q.Interval)
	defer tick.Stop()
	for {
		a := p.ask(ctx, q, p.source(), p.targets[i].Backend)
		if ctx.Err() != nil {
			return // the probe was cut short: it says nothing of the backend
		}
		p.observe(ctx, i, a, time.Now())
		if !rest(ctx, tick.C) {
			return
		}
	}
}

// rest waits for c and reports whether to go on.
func rest(ctx context.Context, c <-chan time.Time) bool {
	select {
	case <-c:
		return true
	case <-ctx.Done():
		return false
	}
}

// observe writes down an answer and tells the news.
func (p *Prober) observe(ctx context.Context, i int, a answer, now time.Time) {
	p.mu.Lock()
	s := &p.states[i]
	news := s.observe(a, now, p.questions[i].Threshold)
	up := s.Up
	p.mu.Unlock()

	if a.kind == yes && !news {
		return
	}
	target := p.targets[i]
	log := p.log.With("probe", target.Probe, "backend", target.Backend, "result", a.result)
	if a.kind != yes {
		log.DebugContext(ctx, "probe failed", "took", a.took)
	}
	if !news {
		return
	}
	log.InfoContext(ctx, map[bool]string{true: "backend is up", false: "backend is down"}[up])
	p.changed(target, up)
}
