package config

import (
	"cmp"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing wrong with a configuration.
type Problem struct {
	Path    string // the key as the contract spells it, as outboundRules[0].protocol
	Message string // one line: what is wrong and, where there is one, the remedy
	Line    int    // of the file, from 1: the key's, or that of the closest one around it; 0 when unknown
}

// String returns "path: message", the message alone where there is no path.
func (p Problem) String() string {
	if p.Path == "" {
		return p.Message
	}
	return p.Path + ": " + p.Message
}

// mostProblems is how many are told: more than anybody mends before the next look.
const mostProblems = 1_000

// Problems is everything wrong with a configuration, in the order of the tree. Of
// more than 1,000 it is some; the last Problem, which has no path, says so. It is
// never empty where it is returned as an error.
type Problems []Problem

// Error returns one problem per line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// add tells of a problem unless there are enough.
func (ps *Problems) add(path, format string, args ...any) {
	if ps.enough() {
		return
	}
	*ps = append(*ps, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// enough reports whether there are more than are told.
func (ps *Problems) enough() bool { return len(*ps) > mostProblems }

// shortened cuts off what is not told, and says that it did.
func (ps Problems) shortened() Problems {
	if !ps.enough() {
		return ps
	}
	return append(ps[:mostProblems:mostProblems], Problem{Message: fmt.Sprintf("and more: these are the first %d problems that were found", mostProblems)})
}

// inOrder sorts by section and by place in the section's list. Within one
// element the order in which problems were found stays.
func (ps Problems) inOrder() {
	rank := map[string]int{}
	for i, f := range fieldsOf(reflect.TypeFor[Config]()) {
		rank[f.name] = i - 1000 // before every unknown section
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		section, index := splitPath(a.Path)
		otherSection, otherIndex := splitPath(b.Path)
		return cmp.Or(cmp.Compare(rank[section], rank[otherSection]), cmp.Compare(index, otherIndex))
	})
}

// splitPath splits "outboundRules[3].protocol" into its section and its index there.
func splitPath(path string) (section string, index int) {
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		return path, 0
	}
	if digits, _, ok := strings.Cut(path[end+1:], "]"); ok && path[end] == '[' {
		index, _ = strconv.Atoi(digits)
	}
	return path[:end], index
}

// withoutEchoes returns what validation found except where it only repeats
// that a value could not be decoded: the zero left in its place is no finding.
func (ps Problems) withoutEchoes(decoding Problems) Problems {
	broken, above := map[string]bool{}, map[string]bool{}
	for _, p := range decoding {
		broken[p.Path] = true
		for path := range selfAndParents(p.Path) {
			above[path] = true
		}
	}
	return slices.DeleteFunc(ps, func(p Problem) bool {
		for path := range selfAndParents(p.Path) {
			if broken[path] {
				return true
			}
		}
		return above[p.Path]
	})
}

// selfAndParents yields "a[0].b", "a[0]" and "a".
func selfAndParents(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for path != "" && yield(path) {
			path = path[:max(strings.LastIndexAny(path, ".["), 0)]
		}
	}
}
