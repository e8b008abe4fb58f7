package config

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// place is where a key or an element of a list stands in the file, and where
// what it holds does.
type place struct {
	line  int               // from 1; 0 of the file itself
	keys  map[string]*place // by name, and by name without letter case
	items []*place
}

// origin is where a Config comes from.
type origin struct {
	file       string          // base name; empty where the content had no file
	root       *place          // nil where there was no content
	overridden map[string]bool // keys, folded, that the environment has
}

// Position returns where the file has the key, as "tidegate.yaml:23", or
// "line 23" of content that had no file. It is empty of what the file does not
// say: of a default, of a value that the environment overrides, and of a key
// that there is not. A path is spelled as a [Problem]'s.
func (c *Config) Position(path string) string {
	at, whole := c.root.follow(path)
	switch {
	case !whole || at.line == 0 || c.overridden[fold(path)]:
		return ""
	case c.file == "":
		return fmt.Sprintf("line %d", at.line)
	}
	return fmt.Sprintf("%s:%d", c.file, at.line)
}

// RulePosition is [Config.Position] of the element of that name in a section, as
// outboundRules.
func (c *Config) RulePosition(section, name string) string {
	for _, f := range fieldsOf(reflect.TypeFor[Config]()) {
		if f.name != section || f.typ.Kind() != reflect.Slice {
			continue
		}
		list := reflect.ValueOf(c).Elem().FieldByIndex(f.index)
		for i := range list.Len() {
			if list.Index(i).FieldByName("Name").String() == name {
				return c.Position(at(section, i))
			}
		}
	}
	return ""
}

// locate gives problems their lines, except where the environment is at fault.
func (c *Config) locate(problems Problems) {
	for i, p := range problems {
		if at, _ := c.root.follow(p.Path); at != nil && !c.overridden[fold(p.Path)] {
			problems[i].Line = at.line
		}
	}
}

// follow returns the place that the path leads to, or, where it does not lead
// to the end, how far it does.
func (p *place) follow(path string) (reached *place, whole bool) {
	for path != "" && p != nil {
		next, rest := p.step(path)
		if next == nil {
			return p, false
		}
		p, path = next, rest
	}
	return p, p != nil
}

// step takes the first key or index from the path; nil where it is not there.
func (p *place) step(path string) (next *place, rest string) {
	if digits, rest, ok := strings.Cut(path, "]"); ok && path[0] == '[' {
		if i, err := strconv.Atoi(digits[1:]); err == nil && i >= 0 && i < len(p.items) {
			return p.items[i], rest
		}
		return nil, ""
	}
	path = strings.TrimPrefix(path, ".")
	if quoted, err := strconv.QuotedPrefix(path); err == nil { // as join has it
		name, _ := strconv.Unquote(quoted)
		return p.key(name), path[len(quoted):]
	}
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		end = len(path)
	}
	return p.key(path[:end]), path[end:]
}

func (p *place) key(name string) *place {
	if exact := p.keys[name]; exact != nil {
		return exact
	}
	return p.keys[fold(name)]
}

// put makes child the place of a key. In a map with two spellings of one key
// each is found by its own.
func (p *place) put(name string, child *place) {
	if p.keys == nil {
		p.keys = map[string]*place{}
	}
	p.keys[name] = child
	if folded := fold(name); p.keys[folded] == nil {
		p.keys[folded] = child
	}
}

// fold makes alike what strings.EqualFold has alike.
func fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// lineEnds is the offset of each newline.
type lineEnds []int

func lineEndsOf(content []byte) lineEnds {
	var ends lineEnds
	for i, b := range content {
		if b == '\n' {
			ends = append(ends, i)
		}
	}
	return slices.Clip(ends)
}

// at returns the line, from 1, in which an offset lies.
func (e lineEnds) at(offset int) int { return 1 + sort.SearchInts(e, offset) }
