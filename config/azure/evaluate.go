package azure

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// scope is what expressions of one template may refer to. What they can't know
// evaluates to a placeholder: two that stand for the same are the same text, so a
// reference still meets the name it means.
type scope struct {
	parameters, variables *node            // of the template, each may be nil
	given                 map[string]*node // parameters' values from a file, by lower-case name
	open                  map[string]bool  // parameters and variables that are being evaluated
	depth                 int
	effort                int // left for the expression at hand
	total                 int // left for the template
}

// Bounds of the work, as variables may multiply: one expression may take some
// milliseconds, a template about a second. Real ones need a hundredth of it.
const (
	maxEffort = 100_000
	maxTotal  = 5_000_000
)

// maxText bounds a text that an expression makes, in bytes; Azure's names and ids
// have hundreds.
const maxText = 16 << 10

// result is what an expression evaluates to.
type result struct {
	value   any      // string, int, bool, nil, or *node for a list or an object
	missing []string // why value is a placeholder or has one in it
}

func unknown(source, format string, args ...any) result {
	return result{placeholder("%s", source), []string{fmt.Sprintf(format, args...)}}
}

// resolve puts in n's place what its expression evaluates to.
func (n *node) resolve() *node {
	source, isText := n.scalar.(string)
	if n.scope == nil || !isText {
		return n
	}
	s := n.scope
	n.scope = nil
	if !isExpression(source) {
		n.scalar = unescape(source)
		return n
	}
	s.effort = min(maxEffort, s.total)
	s.total -= s.effort
	defer func() { s.total += s.effort }()
	r := s.evaluateText(source)
	n.missing = r.missing
	if whole, ok := r.value.(*node); ok {
		n.become(whole, s)
	} else {
		n.scalar = r.value
	}
	return n
}

// become copies a list or an object to where it is used: paths tell that place.
func (n *node) become(from *node, s *scope) {
	s.effort--
	n.scalar, n.list, n.object, n.scope = from.scalar, from.list, from.object, from.scope
	n.missing = slices.Concat(n.missing, from.missing)
	if s.effort <= 0 {
		n.missing = append(n.missing, "the template grows without end")
		return
	}
	for _, m := range from.nodes {
		c := &node{parent: n, key: m.key, index: m.index}
		c.become(m, s)
		n.nodes = append(n.nodes, c)
	}
}

// setScope makes n and all in it a part of a template.
func (n *node) setScope(s *scope) {
	n.scope = s
	for _, m := range n.nodes {
		m.setScope(s)
	}
}

// unescape undoes [[, which a template writes for text that begins with [.
func unescape(s string) string {
	if strings.HasPrefix(s, "[[") {
		return s[1:]
	}
	return s
}

func (s *scope) evaluateText(source string) result {
	s.effort -= len(source)
	e, err := parseExpression(source[1 : len(source)-1])
	if err != nil {
		return unknown(source, "the expression is malformed: %v", err)
	}
	return s.evaluate(e)
}

func (s *scope) evaluate(e *expression) result {
	s.effort--
	if s.effort <= 0 || s.depth > maxNesting {
		return unknown(e.source, "the expression grows without end")
	}
	s.depth++
	defer func() { s.depth-- }()
	switch {
	case e.literal != nil:
		return result{value: e.literal}
	case e.of != nil:
		return s.access(e)
	}
	r := s.invoke(e)
	if t, ok := r.value.(string); ok {
		s.effort -= len(t) / 16
		if len(t) > maxText {
			return unknown(e.source, "the text has more than %d bytes", maxText)
		}
	}
	return r
}

// access is of.key and of[key].
func (s *scope) access(e *expression) result {
	of, key := s.evaluate(e.of), s.evaluate(e.key)
	if missing := slices.Concat(of.missing, key.missing); len(missing) > 0 {
		return result{placeholder("%s", e.source), missing}
	}
	whole, _ := of.value.(*node)
	switch k := key.value.(type) {
	case string:
		if m := whole.member(k); m != nil {
			return s.read(m)
		}
	case int:
		if whole != nil && whole.list && k >= 0 && k < len(whole.nodes) {
			return s.read(whole.nodes[k])
		}
	}
	return unknown(e.source, "%s has no %v", cut(e.of.source), key.value)
}

// read returns the value of a node of the template that is not in its place.
func (s *scope) read(n *node) result {
	switch v := n.scalar.(type) {
	case string:
		if n.scope == nil {
			return result{v, n.missing}
		}
		if isExpression(v) {
			return s.evaluateText(v)
		}
		return result{value: unescape(v)}
	case json.Number:
		if i, err := wholeNumber(string(v)); err == nil {
			return result{value: i}
		}
		return result{value: string(v)}
	case bool:
		return result{value: v}
	}
	if n.list || n.object {
		return result{value: n}
	}
	return result{}
}

// wholeNumber reads JSON's 4 and 4.0 alike.
func wholeNumber(s string) (int, error) {
	if i, err := strconv.Atoi(s); err == nil {
		return i, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != float64(int32(f)) {
		return 0, fmt.Errorf("%q is not a whole number", cut(s))
	}
	return int(f), nil
}
