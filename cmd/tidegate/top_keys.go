package main

import (
	"bytes"

	"github.com/charmbracelet/x/ansi"
)

// key is one key: the character that it types, or its name.
type key string

// keyNames are those of keys that type no character (ECMA-48, xterm's ctlseqs).
var keyNames = map[string]key{
	"\x1b": "esc", "\t": "tab", "\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\x03": "ctrl+c", "\x15": "ctrl+u",
	"\x1b[A": "up", "\x1b[B": "down", "\x1b[C": "right", "\x1b[D": "left", "\x1b[Z": "shift+tab", "\x1b[3~": "delete",
	"\x1b[5~": "pgup", "\x1b[6~": "pgdown", "\x1b[H": "home", "\x1b[1~": "home", "\x1b[F": "end", "\x1b[4~": "end",
}

// keysIn reads what a terminal has sent. Sequences that nobody knows are no keys.
func keysIn(b []byte) (keys []key) {
	b = bytes.ReplaceAll(b, []byte("\x1bO"), []byte("\x1b[")) // cursor keys in application mode
	for len(b) > 0 {
		seq, width, n, _ := ansi.DecodeSequence(b, ansi.NormalState, nil)
		name, ok := keyNames[string(seq)]
		switch {
		case ok:
			keys = append(keys, name)
		case width > 0:
			keys = append(keys, key(seq))
		}
		b = b[n:]
	}
	return keys
}

// typed is the character that a key types, if it types one.
func (k key) typed() (text string, ok bool) {
	for _, name := range keyNames {
		if k == name {
			return "", false
		}
	}
	return clean(string(k)), true
}
