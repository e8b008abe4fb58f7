package azure

import (
	"encoding/json"
	"fmt"
	"strings"
)

// conversion makes the document of one load balancer.
type conversion struct {
	*Document
	*group
	faults  []error
	lb      resource
	parts   map[string][]part         // the load balancer's collections, as they are called there
	names   map[string]map[string]int // by collection: lower-case name to index in parts
	room    int                       // instances that scale sets may still stand for
	left    map[string]string         // frontends that are not carried over, and why
	members map[string][]member       // of pools, by pool
	targets map[string]member         // of inbound NAT rules, by rule
	natPool map[string]string         // pool of each inbound NAT pool, as scale sets have it
}

// part is an element of a collection. An exported template has some twice, within
// the load balancer and as a resource of their own: then it has two sources.
type part struct {
	name    string
	sources []*node
}

func (c *conversion) fault(n *node, format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("%s%s", place(n), cut(fmt.Sprintf(format, args...))))
}

// warnAt is warn, at a node.
func (c *conversion) warnAt(n *node, format string, args ...any) {
	c.Document.warn(n.path(), format, args...)
}

// get returns what a part says of a key, nil if nothing. REST has the keys within
// properties, the command line beside the name.
func (c *conversion) get(p part, key string) *node {
	var found *node
	for _, source := range p.sources {
		for _, n := range []*node{within(source, "properties").member(key), source.member(key)} {
			if n == nil {
				continue
			}
			n.use()
			switch {
			case n.empty():
				continue
			case found == nil:
				found = n
				continue
			case n.canonical(0) != found.canonical(0):
				c.warnAt(n, "differs from %s, which is carried over", cut(found.path()))
			}
			n.useAll()
		}
	}
	return found
}

// within returns a member, resolved and marked as read.
func within(n *node, key string) *node { return n.member(key).use() }

// use resolves n and marks it as read.
func (n *node) use() *node {
	if n == nil {
		return nil
	}
	n.used = true
	return n.resolve()
}

// useAll marks n as read with all in it.
func (n *node) useAll() {
	n.used = true
	for _, m := range n.nodes {
		m.useAll()
	}
}

// empty says whether n says nothing: null, "", [] or {}.
func (n *node) empty() bool {
	return n.scalar == nil && len(n.nodes) == 0 && len(n.missing) == 0 || n.scalar == ""
}

// canonical is n as text that is equal for equal values.
func (n *node) canonical(depth int) string {
	if n.resolve(); !n.list && !n.object {
		return fmt.Sprintf("%q", fmt.Sprint(n.scalar))
	}
	if depth > maxNesting {
		return "…"
	}
	var b strings.Builder
	for _, m := range n.nodes {
		fmt.Fprintf(&b, "%q:%s,", strings.ToLower(m.key), m.canonical(depth+1))
	}
	return "{" + b.String() + "}"
}

// told warns of what stands for n unresolved, and says whether it does.
func (c *conversion) told(n *node) bool {
	for _, why := range n.missing {
		c.warnAt(n, "not resolved: %s", why)
	}
	return len(n.missing) > 0
}

// text returns a key's text, "" if there is none.
func (c *conversion) text(p part, key string) string {
	n := c.get(p, key)
	if n == nil {
		return ""
	}
	c.told(n)
	switch v := n.scalar.(type) {
	case string:
		return v
	case int, json.Number:
		return fmt.Sprint(v)
	}
	c.fault(n, "is not text")
	return ""
}

// word returns a key's text in the spelling of the words allowed, which may
// differ from the template's in letter case.
func (c *conversion) word(p part, key string, allowed ...string) any {
	s := c.text(p, key)
	if s == "" {
		return nil
	}
	return spelled(s, allowed...)
}

func spelled(s string, allowed ...string) string {
	for _, w := range allowed {
		if strings.EqualFold(w, s) {
			return w
		}
	}
	return s
}

// number returns a key's whole number, a placeholder's text, or nil.
func (c *conversion) number(p part, key string) any {
	n := c.get(p, key)
	if n == nil {
		return nil
	}
	if c.told(n) {
		return placeholder("%v", n.scalar)
	}
	switch v := n.scalar.(type) {
	case int:
		return v
	case json.Number:
		if i, err := wholeNumber(string(v)); err == nil {
			return i
		}
	case string: // resource manager takes numbers in quotes too
		if i, err := wholeNumber(v); err == nil {
			return i
		}
	}
	c.fault(n, "is not a whole number")
	return nil
}

// flag returns a key's truth, a placeholder's text, or nil.
func (c *conversion) flag(p part, key string) any {
	n := c.get(p, key)
	if n == nil {
		return nil
	}
	if c.told(n) {
		return placeholder("%v", n.scalar)
	}
	if v, ok := n.scalar.(bool); ok {
		return v
	}
	if v, ok := n.scalar.(string); ok && (strings.EqualFold(v, "true") || strings.EqualFold(v, "false")) {
		return strings.EqualFold(v, "true")
	}
	c.fault(n, "is neither true nor false")
	return nil
}

// list returns a key's elements.
func (c *conversion) list(p part, key string) []*node {
	n := c.get(p, key)
	switch {
	case n == nil || c.told(n):
		return nil
	case !n.list:
		c.fault(n, "is not a list")
		return nil
	}
	for _, e := range n.nodes {
		e.use()
	}
	return n.nodes
}

// object returns a key's value as a part of its own, and whether there is one.
func (c *conversion) object(p part, key string) (part, bool) {
	n := c.get(p, key)
	switch {
	case n == nil:
		return part{}, false
	case c.told(n):
	case !n.object:
		c.fault(n, "is not an object")
		return part{}, false
	}
	return part{sources: []*node{n}}, true
}
