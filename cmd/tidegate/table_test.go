package main

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
)

func fewRows() *table {
	t := newTable(column{head: "NAME", min: 6}, column{head: "N", right: true}, column{head: "LESS", rank: 1}, column{head: "LEAST", rank: 2, min: 3})
	t.add("a-long-name", 7, "x", "abcdefgh")
	t.add(painted{bad, "b"}, 1234, "yy", "z")
	return t
}

func TestTableFits(t *testing.T) {
	for width, want := range map[int]string{
		0: "NAME            N  LESS  LEAST\na-long-name     7  x     abcdefgh\nb            1234  yy    z",
		// the last column is shortened
		30: "NAME            N  LESS  LEAST\na-long-name     7  x     abcd…\nb            1234  yy    z",
		// and goes, the next one goes
		27: "NAME            N  LESS\na-long-name     7  x\nb            1234  yy",
		20: "NAME            N\na-long-name     7\nb            1234",
		// what stays is shortened
		14: "NAME         N\na-long-…     7\nb         1234",
		5:  "NAME…\na-lo…\nb   …",
	} {
		if diff := cmp.Diff(want, strings.Join(fewRows().lines(width, palette{}), "\n")); diff != "" {
			t.Errorf("width %d: %s", width, diff)
		}
	}
}

// Whatever is in it, no line of a table is wider than the terminal, and nothing but
// colours of our own reaches it.
func TestTableNeverWraps(t *testing.T) {
	words := []string{"", "x", "10.0.0.10:40000", "\x1b[2J\x1b[31m", "名前名前名前", "a\nb\tc\rd", "\u202egnp", "\u009b2J", "\xff\xfe", strings.Repeat("w", 90)}
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var columns []column
		for i := range 1 + r.IntN(8) {
			columns = append(columns, column{head: words[r.IntN(3)], right: r.IntN(2) == 0, rank: r.IntN(4) * min(i, 1), min: r.IntN(2) * 4})
		}
		table := newTable(columns...)
		for range r.IntN(5) {
			var cells []any
			for range columns {
				cells = append(cells, painted{look(r.IntN(6)), words[r.IntN(len(words))]})
			}
			table.add(cells...)
		}
		width := 1 + r.IntN(100)
		for _, line := range table.lines(width, palette{colours: true}) {
			if ansi.StringWidth(line) > width {
				t.Fatalf("%q has %d columns, not %d", line, ansi.StringWidth(line), width)
			}
			harmless(t, line)
		}
	}
}

// harmless wants text without anything that steers a terminal, but for colours.
func harmless(t *testing.T, text string) {
	t.Helper()
	for _, style := range looks {
		text = strings.ReplaceAll(text, style.String(), "")
	}
	text = strings.ReplaceAll(strings.ReplaceAll(text, ansi.ResetStyle, ""), "\n", "")
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e' }) || !utf8.ValidString(text) {
		t.Errorf("%q steers a terminal", text)
	}
}

func TestPageWraps(t *testing.T) {
	p := page{width: 20}
	p.line("  1. ", "one two three four five six")
	p.field("Name", "value")
	if diff := cmp.Diff("  1. one two three\n     four five six\nName      value\n", p.out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestColours(t *testing.T) {
	if got := (palette{colours: true}).paint(bad, "down"); !strings.HasPrefix(got, "\x1b[") || ansi.Strip(got) != "down" {
		t.Errorf("%q", got)
	}
	if got := (palette{}).paint(bad, "down"); got != "down" {
		t.Errorf("%q", got)
	}
	if paletteFor(&bytes.Buffer{}).colours {
		t.Error("a buffer is no terminal")
	}
}

// JSON keeps every character, but shows none that steers a terminal.
func TestWriteJSON(t *testing.T) {
	want := "<a>\x1b[2J \u009b \x7f \u202e \U000E0001 \u2028 ü\n"
	var b bytes.Buffer
	if err := writeJSON(&b, map[string]string{"name": want}, "  "); err != nil {
		t.Fatal(err)
	}
	harmless(t, b.String())
	var got map[string]string
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || got["name"] != want {
		t.Errorf("%v: %q is read as %q", err, b.String(), got["name"])
	}
}
