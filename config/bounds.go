package config

import (
	"bytes"
	"errors"
	"fmt"
)

// What a file may hold. A gateway that is asked to read a mebibyte of anything has
// packets to forward meanwhile: some codecs take a time that grows with the square of
// a map's keys, and a YAML alias repeats as much as it likes in two bytes.
const (
	mostValues   = 100_000 // in all: ten thousand NAT rules; what an alias stands for counts each time
	mostElements = 10_000  // of one list; Azure has 5,000 addresses in a pool and 1,500 rules
	mostKeys     = 200     // of one map; the longest section has fifteen
	deepest      = 100     // maps and lists within each other; the tree has six
)

// bounds counts the values of a file while their places are looked for.
type bounds struct{ values, depth int }

// excess is a file that holds more than it may.
type excess struct {
	path    string // of the map or list at fault; empty of the file itself
	line    int
	message string
	whole   bool // the file is at fault, not one key
}

func (e *excess) Error() string { return fmt.Sprintf("line %d: %s", max(e.line, 1), e.message) }

// problems tells of e as of any other fault, where there is a key to name.
func (e *excess) problems() error {
	if e.path == "" {
		return e
	}
	return Problems{{Path: e.path, Message: e.message, Line: e.line}}
}

// under returns err as the place around it sees it: what is wrong with "a" is wrong
// at "b.a".
func under(step string, err error) error {
	var e *excess
	if errors.As(err, &e) && !e.whole {
		if e.path != "" && e.path[0] != '[' {
			step += "."
		}
		e.path = step + e.path
	}
	return err
}

// count adds n values.
func (b *bounds) count(n, line int) error {
	if b.values += n; b.values > mostValues {
		return &excess{whole: true, line: line, message: fmt.Sprintf("here the file has more than %d values, each alias counted as what it stands for; write less", mostValues)}
	}
	return nil
}

// enter goes into a value; leave is its end.
func (b *bounds) enter(line int) error {
	if b.depth++; b.depth > deepest {
		return &excess{whole: true, line: line, message: fmt.Sprintf("more than %d maps and lists within each other", deepest)}
	}
	return b.count(1, line)
}

func (b *bounds) leave() { b.depth-- }

func checkElementCount(n, line int) error {
	if n > mostElements {
		return &excess{line: line, message: fmt.Sprintf("a list has at most %d elements; of addresses, a prefix stands for many", mostElements)}
	}
	return nil
}

func checkKeyCount(n, line int) error {
	if n > mostKeys {
		return &excess{line: line, message: fmt.Sprintf("a map has at most %d keys", mostKeys)}
	}
	return nil
}

// checkSeparators refuses what the parsers of YAML and TOML, which make a tree first,
// would need long for: it counts what parts values from each other, in comments too.
func checkSeparators(content []byte) error {
	n := 0
	for _, separator := range []string{",", "\n", "[", "{"} {
		n += bytes.Count(content, []byte(separator))
	}
	if n > mostValues {
		return &excess{whole: true, line: 1, message: fmt.Sprintf("the file has more than %d lines, commas and brackets; write less", mostValues)}
	}
	return nil
}

// stepOf is a key as a path has it, cut so that it does not drown the message.
func stepOf(key string) string {
	const most = 60 // bytes
	if len(key) > most {
		key = key[:most] + "…"
	}
	return join("", key)
}
