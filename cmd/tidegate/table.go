package main

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// column is one column of a table.
type column struct {
	head  string
	right bool // aligned right, as numbers are
	rank  int  // where the terminal is too narrow, the column of the highest rank goes first; 0 stays
	min   int  // width that it may be shortened to, with …; 0: it is whole or not there
	least int  // width that it has at least; for rows that come one by one
}

// table is rows under heads. It fits the terminal: no row is wrapped.
type table struct {
	columns []column
	rows    [][]painted
	bare    bool // without heads
}

func newTable(columns ...column) *table { return &table{columns: columns} }

// add adds a row; the cells are strings, painted ones or whatever fmt can print.
func (t *table) add(cells ...any) {
	row := make([]painted, len(cells))
	for i, c := range cells {
		row[i] = cellOf(c)
	}
	t.rows = append(t.rows, row)
}

const gutter = 2 // columns between two of a table's

// lines renders the table for a terminal so wide; 0 means as wide as it takes.
func (t *table) lines(width int, paint palette) []string {
	widths := t.fit(width)
	var all []string
	if !t.bare {
		heads := make([]painted, len(t.columns))
		for i, c := range t.columns {
			heads[i] = painted{strong, c.head}
		}
		all = append(all, t.line(heads, widths, width, paint))
	}
	for _, row := range t.rows {
		all = append(all, t.line(row, widths, width, paint))
	}
	return all
}

func (t *table) line(cells []painted, widths []int, width int, paint palette) string {
	var b strings.Builder
	space := ""
	for i, c := range cells {
		if widths[i] == 0 {
			continue
		}
		text := ansi.Truncate(c.text, widths[i], "…")
		pad := strings.Repeat(" ", widths[i]-ansi.StringWidth(text))
		b.WriteString(space)
		if t.columns[i].right {
			b.WriteString(pad)
			pad = ""
		}
		b.WriteString(paint.paint(c.look, text))
		space = pad + strings.Repeat(" ", gutter)
	}
	line := b.String()
	if width > 0 {
		line = ansi.Truncate(line, width, "…")
	}
	return strings.TrimRight(line, " ")
}

// natural returns the width that each column takes whole.
func (t *table) natural() []int {
	widths := make([]int, len(t.columns))
	for i, c := range t.columns {
		widths[i] = c.least
		if !t.bare {
			widths[i] = max(widths[i], ansi.StringWidth(c.head))
		}
		for _, row := range t.rows {
			widths[i] = max(widths[i], ansi.StringWidth(row[i].text))
		}
	}
	return widths
}

// fit returns the width of each column, 0 for one that is left out.
func (t *table) fit(width int) []int {
	widths := t.natural()
	if width <= 0 {
		return widths
	}
	for _, i := range t.byRank() {
		c, over := t.columns[i], total(widths)-width
		switch {
		case over <= 0:
			return widths
		case c.min > 0 && widths[i]-over >= c.min:
			widths[i] -= over
		case c.rank > 0:
			widths[i] = 0
		case c.min > 0:
			widths[i] = min(widths[i], c.min)
		}
	}
	return widths
}

// byRank returns the columns, those that go first first; of the same rank the right one.
func (t *table) byRank() (order []int) {
	highest := 0
	for _, c := range t.columns {
		highest = max(highest, c.rank)
	}
	for rank := highest; rank >= 0; rank-- {
		for i := len(t.columns) - 1; i >= 0; i-- {
			if t.columns[i].rank == rank {
				order = append(order, i)
			}
		}
	}
	return order
}

// total is how wide a table with such columns is.
func total(widths []int) (n int) {
	for _, w := range widths {
		if w > 0 {
			n += w + gutter
		}
	}
	return max(0, n-gutter)
}
