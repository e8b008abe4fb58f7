package nexthop

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tidegate/packet"
)

// naive is longest-prefix match as one would explain it: table by table, every
// route that covers the address, the longest prefix, then the lowest metric, then
// the first.
func naive(all [len(tables)][]route, dst packet.Addr) target {
	for _, table := range all {
		best := -1
		for i, r := range table {
			if r.start > dst || dst > r.last() {
				continue
			}
			if best < 0 || r.bits > table[best].bits || r.bits == table[best].bits && r.metric < table[best].metric {
				best = i
			}
		}
		if best >= 0 && table[best].to != (target{}) {
			return table[best].to
		}
	}
	return target{}
}

// genRoute makes routes that lie around and inside one another: few prefixes,
// which differ in the bits at both ends of the address.
func genRoute(t *rapid.T) route {
	bits := rapid.SampledFrom([]int{0, 1, 2, 8, 24, 29, 30, 31, 32}).Draw(t, "bits")
	start := packet.Addr(rapid.SampledFrom([]uint32{0, 0x0a000000, 0x7fffff00, 0x80000000, 0xffffff00}).Draw(t, "net") +
		rapid.Uint32Range(0, 255).Draw(t, "host"))
	start &^= route{bits: bits}.last()
	to := target{ // zero: a throw route
		status:  Status(rapid.IntRange(0, int(Elsewhere)).Draw(t, "status")),
		gateway: packet.Addr(rapid.Uint32Range(0, 3).Draw(t, "gateway")),
	}
	return route{start: start, bits: bits, metric: rapid.IntRange(0, 2).Draw(t, "metric"), to: to}
}

func TestFlattenIsLongestPrefixMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all [len(tables)][]route
		r := routes{spans: []span{{}}}
		for i := range all {
			all[i] = rapid.SliceOfN(rapid.Custom(genRoute), 0, 12).Draw(t, "table")
		}
		for _, table := range slices.Backward(all[:]) {
			r.spans = overlay(flatten(slices.Clone(table)), r.spans)
		}
		probes := []packet.Addr{0, lastAddr, packet.Addr(rapid.Uint32().Draw(t, "dst"))}
		for _, table := range all {
			for _, x := range table {
				probes = append(probes, x.start-1, x.start, x.last(), x.last()+1)
			}
		}
		for _, dst := range probes {
			if got, want := r.find(dst), naive(all, dst); got != want {
				t.Fatalf("%s: got %+v, want %+v in %+v", dst, got, want, all)
			}
		}
		checkSpans(t, r.spans)
	})
}

func checkSpans(t *rapid.T, spans []span) {
	if spans[0].start != 0 {
		t.Fatal("the first span does not begin at 0.0.0.0")
	}
	for i := 1; i < len(spans); i++ {
		if spans[i].start <= spans[i-1].start || spans[i].to == spans[i-1].to {
			t.Fatalf("span %d is out of order or needless: %+v", i, spans)
		}
	}
}
