package main

import (
	"math"
	"slices"
)

// median returns the middle value, the mean of the two middle ones for an even
// number of them, and NaN for none. It leaves values as they are.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// percentile returns the smallest value that p percent of the values do not
// exceed (nearest rank), p above 0 and at most 100; NaN for none.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
