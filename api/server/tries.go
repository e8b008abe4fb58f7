package server

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// triesPerSecond is how many wrong tokens a source may offer. A token has 16
	// characters or more: this is against load, and against tokens that people made up.
	triesPerSecond = 10

	// triers bounds the memory: beyond so many sources in a second the count begins anew.
	triers = 4096
)

// tries counts wrong tokens by source, second by second.
type tries struct {
	mu    sync.Mutex
	since time.Time
	count map[netip.Prefix]int
}

// allowed says whether a source may try once more.
func (t *tries) allowed(from netip.Prefix, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Sub(t.since) >= time.Second || t.count[from] < triesPerSecond
}

// failed notes a wrong token.
func (t *tries) failed(from netip.Prefix, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.since) >= time.Second || len(t.count) >= triers {
		t.since, t.count = now, make(map[netip.Prefix]int)
	}
	t.count[from]++
}
