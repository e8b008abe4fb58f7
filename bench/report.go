package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

// report is what a run found; as JSON it is what -o json prints.
type report struct {
	Date     time.Time `json:"date"` // of the start
	Kernel   string    `json:"kernel"`
	CPU      string    `json:"cpu"`
	CPUs     int       `json:"cpus"`
	Rounds   int       `json:"rounds"`
	Duration float64   `json:"durationSeconds"` // of one measurement
	Peers    []string  `json:"peers"`
	Noisy    int       `json:"noisyLegs"` // that began while something else used the machine
	Legs     int       `json:"legs"`
	Lines    []*line   `json:"lines"`
}

// line is one figure of every peer.
type line struct {
	Name    string            `json:"name"`
	Unit    string            `json:"unit,omitempty"`
	Figures map[string]figure `json:"figures"` // by peer
}

// figure is a peer's. Ratios are to the reference in the same round, Ratio is their
// median; both are missing where there is nothing to compare.
type figure struct {
	Median float64   `json:"median"`
	Rounds []float64 `json:"rounds"`
	Ratio  *float64  `json:"ratio,omitempty"`
	Ratios []float64 `json:"ratios,omitempty"`
}

func newReport(p plan) report {
	r := report{
		Date: time.Now().Truncate(time.Second), Kernel: kernelName(), CPU: cpuName(), CPUs: runtime.NumCPU(),
		Rounds: p.rounds, Duration: p.duration.Seconds(),
	}
	for _, peer := range p.peers {
		r.Peers = append(r.Peers, peer.name())
	}
	return r
}

// newLines makes the report's lines of all readings, in the order in which they
// were first seen.
func newLines(readings []reading) (lines []*line) {
	for _, r := range readings {
		if slices.ContainsFunc(lines, func(l *line) bool { return l.Name == r.line && l.Unit == r.unit }) {
			continue
		}
		l := &line{Name: r.line, Unit: r.unit, Figures: make(map[string]figure)}
		for _, peer := range readings {
			if peer.line == r.line && peer.unit == r.unit {
				l.Figures[peer.peer] = figureOf(peer.peer, r, readings)
			}
		}
		lines = append(lines, l)
	}
	return lines
}

// figureOf gathers a peer's rounds in the line that like is of.
func figureOf(peer string, like reading, readings []reading) (f figure) {
	own, other := rounds(peer, like, readings), rounds(reference, like, readings)
	for _, round := range slices.Sorted(maps.Keys(own)) {
		f.Rounds = append(f.Rounds, own[round])
		if base, ok := other[round]; ok && base != 0 && like.compared {
			f.Ratios = append(f.Ratios, own[round]/base)
		}
	}
	f.Median = median(f.Rounds)
	if len(f.Ratios) > 0 {
		ratio := median(f.Ratios)
		f.Ratio = &ratio
	}
	return f
}

// rounds returns a peer's values in a line by their round.
func rounds(peer string, like reading, readings []reading) map[int]float64 {
	values := make(map[int]float64)
	for _, r := range readings {
		if r.peer == peer && r.line == like.line && r.unit == like.unit {
			values[r.round] = r.value
		}
	}
	return values
}

// print writes the report as a table or as JSON.
func (r report) print(w io.Writer, form string) error {
	if form == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	return r.printTable(w)
}

func (r report) printTable(w io.Writer) error {
	fmt.Fprintf(w, "%s · %s · %d × %s · %d rounds of %v\n", r.Date.Format("2006-01-02 15:04"), r.Kernel, r.CPUs, r.CPU,
		r.Rounds, time.Duration(r.Duration*float64(time.Second)))
	fmt.Fprintf(w, "Medians of the rounds; × is the median of the rounds' ratios to %s.\n\n", reference)
	for row := range strings.Lines(r.table()) {
		fmt.Fprintln(w, strings.TrimRight(row, " \n"))
	}
	if r.Noisy > 0 {
		fmt.Fprintf(w, "\n%d of %d legs began while something else used the machine; distrust CPU times.\n", r.Noisy, r.Legs)
	}
	return nil
}

// table sets the lines: a name to the left, and to the right its unit and for each
// peer two cells.
func (r report) table() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\t\t%s\t\t\n", strings.Join(r.Peers, "\t\t"))
	longest := r.longestName()
	for _, l := range r.Lines {
		fmt.Fprintf(t, "%-*s\t%s\t", longest, l.Name, l.Unit)
		for _, peer := range r.Peers {
			fmt.Fprintf(t, "%s\t", l.Figures[peer])
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	return b.String()
}

func (r report) longestName() (runes int) {
	for _, l := range r.Lines {
		runes = max(runes, utf8.RuneCountInString(l.Name))
	}
	return runes
}

// String is the figure as two cells of the table.
func (f figure) String() string {
	switch {
	case len(f.Rounds) == 0:
		return "–\t"
	case f.Ratio == nil:
		return threeDigits(f.Median) + "\t"
	}
	return threeDigits(f.Median) + "\t×" + threeDigits(*f.Ratio)
}

// threeDigits prints three digits or more, and no more decimals than that takes.
func threeDigits(v float64) string {
	switch {
	case v >= 100 || v == 0:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
