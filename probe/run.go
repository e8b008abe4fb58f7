package probe

import (
	"context"
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
	p.mu.Lock()
	p.ctx = ctx
	for _, w := range p.watches {
		if !w.fresh { // Replace starts it
			p.start(w)
		}
	}
	p.mu.Unlock()
	<-ctx.Done()
	p.changing.Lock() // whoever begins to start a watch now sees that ctx is done
	defer p.changing.Unlock()
	p.running.Wait()
	return nil
}

// start begins to follow a target, if the Prober runs. p.mu is held.
func (p *Prober) start(w *watch) {
	if p.ctx == nil || p.ctx.Err() != nil {
		return
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(p.ctx)
	p.running.Go(func() {
		defer close(w.done)
		defer w.stop()
		p.follow(ctx, w)
	})
}

// offset is when target i of n is first asked: always the same, and evenly apart.
func offset(i, n int, interval time.Duration) time.Duration {
	if n <= burst {
		return 0
	}
	return min(spread, interval) * time.Duration(i) / time.Duration(n)
}

// follow probes one target until ctx is done. The ticker drops what a slow probe
// missed, so that nothing is made up for in a burst.
func (p *Prober) follow(ctx context.Context, w *watch) {
	q := w.question
	if !rest(ctx, time.After(w.offset)) {
		return
	}
	tick := time.NewTicker(q.Interval)
	defer tick.Stop()
	for {
		a := p.ask(ctx, q, p.source(), w.Backend)
		if ctx.Err() != nil {
			return // the probe was cut short: it says nothing of the backend
		}
		p.observe(ctx, w, a, time.Now())
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
func (p *Prober) observe(ctx context.Context, w *watch, a answer, now time.Time) {
	p.mu.Lock()
	news := w.state.observe(a, now, w.question.Threshold)
	up := w.state.Up
	p.mu.Unlock()

	if a.kind == yes && !news {
		return
	}
	log := p.log.With("probe", w.Probe, "backend", w.Backend, "result", a.result)
	if a.kind != yes {
		log.DebugContext(ctx, "probe failed", "took", a.took)
	}
	if !news {
		return
	}
	log.DebugContext(ctx, map[bool]string{true: "backend is up", false: "backend is down"}[up])
	p.changed(w.Target, up)
}
