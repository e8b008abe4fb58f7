package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sample is a report of two rounds, in the second of which forward failed.
func sample() report {
	return report{
		Date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Kernel: "Linux 6.18", CPU: "Model 1", CPUs: 2,
		Rounds: 2, Duration: 2, Peers: []string{"nft", "forward", "packet"}, Legs: 5, Noisy: 1,
		Lines: newLines([]reading{
			{"64 flows", "k packets/s", "nft", 0, 300, true},
			{"64 flows", "k packets/s", "forward", 0, 450, true},
			{"64 flows", "k packets/s", "nft", 1, 200, true},
			{"64 flows", "k packets/s", "packet", 0, 330, true},
			{"64 flows", "k packets/s", "packet", 1, 180, true},
			{"share", "%", "packet", 0, 99.94, false},
			{"share", "%", "packet", 1, 98.86, false},
			{"share", "%", "nft", 1, 100, false},
			{"64 flows", "µs", "packet", 0, 1.5, true},
		}),
	}
}

func TestRatiosAreMadeInEachRound(t *testing.T) {
	f := sample().Lines[0].Figures["packet"]
	ratio := (330.0/300 + 180.0/200) / 2
	want := figure{Median: 255, Rounds: []float64{330, 180}, Ratio: &ratio, Ratios: []float64{330.0 / 300, 180.0 / 200}}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
}

func TestLinesDifferByUnit(t *testing.T) {
	var got []string
	for _, l := range sample().Lines {
		got = append(got, l.Name+" "+l.Unit)
	}
	if diff := cmp.Diff([]string{"64 flows k packets/s", "share %", "64 flows µs"}, got); diff != "" {
		t.Error(diff)
	}
}

const sampleTable = `2026-01-02 03:04 · Linux 6.18 · 2 × Model 1 · 2 rounds of 2s
Medians of the rounds; × is the median of the rounds' ratios to nft.

                         nft         forward         packet
  64 flows  k packets/s  250  ×1.00      450  ×1.50     255  ×1.00
  share               %  100               –           99.4
  64 flows           µs    –               –           1.50

1 of 5 legs began while something else used the machine; distrust CPU times.
`

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := sample().print(&b, "table"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleTable, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestJSONHoldsTheWholeReport(t *testing.T) {
	var b bytes.Buffer
	if err := sample().print(&b, "json"); err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Error(diff)
	}
}
