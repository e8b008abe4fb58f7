package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// page is what a verb prints for people. Names in it come from the configuration, from
// packets and from other programs: whatever could steer a terminal is taken out of them.
type page struct {
	out   strings.Builder
	width int  // of the terminal in columns; 0: there is none, and nothing is shortened or wrapped
	whole bool // tables are whole, however narrow the terminal is
	paint palette
}

// newPage returns an empty page for w.
func newPage(w io.Writer) *page {
	width, _ := sizeOf(w)
	return &page{width: width, paint: paletteFor(w)}
}

// write renders a page for w and writes it in one piece. The tables of a wide one are
// whole.
func write(w io.Writer, wide bool, text func(*page)) error {
	p := newPage(w)
	p.whole = wide
	text(p)
	_, err := io.WriteString(w, p.out.String())
	return err
}

// join makes one line of strings, painted ones and whatever fmt can print.
func (p *page) join(parts ...any) string {
	var b strings.Builder
	for _, part := range parts {
		c := cellOf(part)
		b.WriteString(p.paint.paint(c.look, c.text))
	}
	return b.String()
}

// line writes one line, wrapped at the terminal's edge; what is wrapped stands below
// the text and not below the indent.
func (p *page) line(indent string, parts ...any) {
	text := p.join(parts...)
	if room := p.width - ansi.StringWidth(indent); p.width > 0 && room > 0 {
		text = ansi.Wrap(text, room, "")
	}
	for i, l := range strings.Split(text, "\n") {
		if i > 0 {
			indent = strings.Repeat(" ", ansi.StringWidth(indent))
		}
		p.out.WriteString(strings.TrimRight(indent+l, " ") + "\n")
	}
}

// field writes a name and a value.
func (p *page) field(name string, parts ...any) {
	p.line(fmt.Sprintf("%-10s", name), parts...)
}

// table writes a table.
func (p *page) table(t *table) {
	width := p.width
	if p.whole {
		width = 0
	}
	for _, l := range t.lines(width, p.paint) {
		p.out.WriteString(l + "\n")
	}
}

// cellOf is a part as it may be printed.
func cellOf(part any) painted {
	c, ok := part.(painted)
	if !ok {
		c.text = fmt.Sprint(part)
	}
	c.text = clean(c.text)
	return c
}

// clean replaces what could steer a terminal: control characters, whatever turns the
// direction of writing or can't be seen, and bytes that are no UTF-8.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if steers(r) || r == utf8.RuneError {
			return '\uFFFD'
		}
		return r
	}, s)
}

func steers(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// writeJSON writes v, indented or as one line. JSON escapes the lower control
// characters; here the rest of what steers a terminal is escaped, too.
func writeJSON(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return err
	}
	var text strings.Builder
	for _, r := range b.String() {
		if steers(r) && r != '\n' {
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&text, `\u%04x`, unit)
			}
			continue
		}
		text.WriteRune(r)
	}
	_, err := io.WriteString(w, text.String())
	return err
}
