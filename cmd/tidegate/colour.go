package main

import (
	"io"
	"os"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// look is what a piece of text means; the palette says how that is shown.
type look int

const (
	plain look = iota
	good
	bad
	warn
	faint
	strong
)

var looks = map[look]ansi.Style{
	good:   ansi.NewStyle().ForegroundColor(ansi.Green),
	bad:    ansi.NewStyle().ForegroundColor(ansi.Red),
	warn:   ansi.NewStyle().ForegroundColor(ansi.Yellow),
	faint:  ansi.NewStyle().Faint(),
	strong: ansi.NewStyle().Bold(),
}

// palette paints text. The zero palette leaves it alone.
type palette struct{ colours bool }

func (p palette) paint(l look, s string) string {
	if style, ok := looks[l]; ok && p.colours && s != "" {
		return style.Styled(s)
	}
	return s
}

// paletteFor has colours if w is a terminal whose user does not object: TERM=dumb, or
// NO_COLOR with any value (https://no-color.org).
func paletteFor(w io.Writer) palette {
	return palette{colours: isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// painted is text with a look.
type painted struct {
	look look
	text string
}

// descriptor is what a file that may be a terminal has.
type descriptor interface{ Fd() uintptr }

func isTerminal(w io.Writer) bool {
	f, ok := w.(descriptor)
	return ok && term.IsTerminal(int(f.Fd()))
}

// sizeOf returns the columns and rows of the terminal that w is; both are 0 if it is
// none. A terminal that does not know its size has 80×24, as ever.
func sizeOf(w io.Writer) (width, height int) {
	if !isTerminal(w) {
		return 0, 0
	}
	width, height, err := term.GetSize(int(w.(descriptor).Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}
