package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseCollections(t *testing.T) {
	text := `time=2026-01-02T03:04:05Z level=INFO msg="gc is no trace"
gc 1 @0.011s 0%: 0.25+0.39+0.25 ms clock, 0.5+1/1.5/0.25+0.5 ms cpu, 4->4->0 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P
gc 2 @12.5s 1%: 0.5+10+1.5 ms clock, 1+2/3/4+5 ms cpu, 4->4->0 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)
gc 3 @12.6s 1%: 0.5+10`
	got, err := parseCollections(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []collection{
		{work: 3.75, pause: 0.5},
		{work: 15, pause: 2},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(collection{})); diff != "" {
		t.Error(diff)
	}
	if _, err := parseCollections("gc 1 @0s 0%: x+1 ms clock, 1 ms cpu, "); err == nil {
		t.Error("no error for a time that is no number")
	}
}

func TestParseBusy(t *testing.T) {
	got, err := parseBusy("cpu  10 2 30 4000 500 6 70 8 9 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
	if want := 1180 * time.Millisecond; err != nil || got != want {
		t.Errorf("busy %v, %v, want %v", got, err, want)
	}
	for _, broken := range []string{"", "cpu0 1 2 3 4 5 6 7", "cpu 1 2 x 4 5 6 7"} {
		if _, err := parseBusy(broken); err == nil {
			t.Errorf("no error for %q", broken)
		}
	}
}

func TestSumMetric(t *testing.T) {
	text := `# HELP tidegate_flows Live flows.
# TYPE tidegate_flows gauge
tidegate_flows{rule="egress",protocol="tcp",state="SYN } SENT"} 3
tidegate_flows{rule="egress",protocol="udp",state="ACTIVE"} 1.0e+06
tidegate_flows_created_total{rule="egress",protocol="udp"} 7
`
	if got, err := sumMetric(text, "tidegate_flows"); err != nil || got != 1_000_003 {
		t.Errorf("sum is %d, %v, want 1000003", got, err)
	}
}

func TestSlabSize(t *testing.T) {
	for line, want := range map[string]int64{
		"nf_conntrack          32     48    256   16    1 : tunables    0    0    0": 48 * 256,
		"nf_conntrack_expect    0      0    208   19    1 : tunables    0    0    0": -1,
		"# name            <active_objs> <num_objs> <objsize>":                       -1,
	} {
		size, ok := slabSize(line, "nf_conntrack")
		if ok != (want >= 0) || ok && size != want {
			t.Errorf("%q has %d, %t, want %d", line, size, ok, want)
		}
	}
}

func TestKilobytes(t *testing.T) {
	text := "Rss:                1234 kB\nPss:                1000 kB\nPss_Dirty:           900 kB\n"
	if got, err := kilobytes(text, "Pss"); err != nil || got != 1000<<10 {
		t.Errorf("Pss is %d, %v, want %d", got, err, 1000<<10)
	}
	if _, err := kilobytes(text, "Swap"); err == nil {
		t.Error("no error for a line that is not there")
	}
}

func TestSplitRoutes(t *testing.T) {
	before, onceReady := splitRoutes("a\nb\n# once ready\nc\n")
	if before != "a\nb\n" || onceReady != "c\n" {
		t.Errorf("before %q, once ready %q", before, onceReady)
	}
}

func TestOptions(t *testing.T) {
	for _, wrong := range [][]string{
		{"-rounds", "0"}, {"-duration", "1ms"}, {"-duration", "1m"}, {"-o", "xml"}, {"extra"},
	} {
		if _, err := parse(wrong); err == nil {
			t.Errorf("no error for %v", wrong)
		}
	}
	for _, o := range []options{{peers: "nft,carrier-pigeon"}, {peers: "nft", only: "pps,taste"}} {
		if _, err := newPlan(o); err == nil {
			t.Errorf("no error for %+v", o)
		}
	}
}

func TestPeersTakeTurns(t *testing.T) {
	p, err := newPlan(options{peers: "nft,forward,tun", only: "memory,crr", rounds: 2})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for s := range p.steps() {
		got = append(got, s.String())
	}
	want := []string{
		"memory of nft, round 1", "memory of tun, round 1", "memory of nft, round 2", "memory of tun, round 2",
		"crr of nft, round 1", "crr of forward, round 1", "crr of tun, round 1",
		"crr of nft, round 2", "crr of forward, round 2", "crr of tun, round 2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
