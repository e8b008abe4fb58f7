package main

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 2, 100}, 3},
	} {
		before := slices.Clone(c.values)
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(c.values, before) {
			t.Errorf("median made %v of %v", c.values, before)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing is %v, want NaN", got)
	}
}

// A percentile is compared with its definition: counting.
func TestPercentile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 50), 1, 200).Draw(t, "values")
		p := rapid.SampledFrom([]float64{1, 50, 99, 100}).Draw(t, "p")
		got := percentile(values, p)
		atMost, below := 0, 0
		for _, v := range values {
			if v <= got {
				atMost++
			}
			if v < got {
				below++
			}
		}
		wanted := p / 100 * float64(len(values))
		if !slices.Contains(values, got) || float64(atMost) < wanted || float64(below) >= wanted {
			t.Fatalf("p%v of %d values is %v: %d are at most that, %d below", p, len(values), got, atMost, below)
		}
	})
}
