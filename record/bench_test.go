package record

import (
	"testing"
)

// report turns batches of 256 into records a second.
func report(b *testing.B) {
	b.ReportMetric(256*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkFile(b *testing.B) {
	s, err := newFileSink(FileOptions{Path: b.TempDir() + "/flows.json", MaxSizeInMB: 100, MaxFiles: 1}, nil, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	events := batchOf(many(256)...)
	for b.Loop() {
		s.take(events, 0)
	}
	report(b)
}

func BenchmarkUDP(b *testing.B) {
	s, _, lost := udpSink(b)
	events := batchOf(many(256)...)
	for b.Loop() {
		s.take(events, 0)
	}
	report(b)
	b.ReportMetric(float64(lost.Load())/256/float64(b.N), "lost/record")
}

// BenchmarkFeed: what the follower does for two sinks.
func BenchmarkFeed(b *testing.B) {
	r, err := New(Options{Gateway: &past{}, File: &FileOptions{Path: b.TempDir() + "/flows.json"},
		IPFIX: &IPFIXOptions{Collector: listenUDP(b).LocalAddr().String()}})
	if err != nil {
		b.Fatal(err)
	}
	events := many(256)
	for b.Loop() {
		r.feed(events, 0)
		for _, l := range r.lanes {
			(<-l.queue).release()
		}
	}
	report(b)
	for _, l := range r.lanes {
		l.close()
	}
}
