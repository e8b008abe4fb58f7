package main

import (
	"fmt"
	"strconv"
	"strings"
)

// collection is one cycle of Go's garbage collector, in milliseconds.
type collection struct {
	work  float64 // CPU time
	pause float64 // in which no goroutine ran
}

// parseCollections reads what GODEBUG=gctrace=1 writes (package runtime), and skips
// the lines between:
//
//	gc 1 @0.011s 0%: 0.018+0.39+0.003 ms clock, 0.036+0.31/0.36/0.1+0.006 ms cpu, 4->4->0 MB, …
//
// The first and the last of the clock's times are those in which all is stopped.
// CPU time that is idle otherwise, the third after the bars, counts as well: a
// gateway under load has none.
func parseCollections(text string) (all []collection, err error) {
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "gc ") || !strings.Contains(line, " ms clock, ") {
			continue
		}
		_, times, _ := strings.Cut(line, ": ")
		clock, rest, _ := strings.Cut(times, " ms clock, ")
		cpu, _, _ := strings.Cut(rest, " ms cpu")
		phases, err := numbers(clock, "+")
		if err != nil {
			return nil, err
		}
		work, err := numbers(cpu, "+/")
		if err != nil {
			return nil, err
		}
		all = append(all, collection{work: total(work), pause: phases[0] + phases[len(phases)-1]})
	}
	return all, nil
}

func numbers(text, separators string) (all []float64, err error) {
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return nil, fmt.Errorf("bench: read garbage collector's trace: %w", err)
		}
		all = append(all, n)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("bench: read garbage collector's trace: no numbers in %q", text)
	}
	return all, nil
}

func total(values []float64) (sum float64) {
	for _, v := range values {
		sum += v
	}
	return sum
}
