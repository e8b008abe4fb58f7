package azure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// node is a JSON value that knows its place and whether it was read.
type node struct {
	parent  *node  // nil at the root
	key     string // as a member; at the root what stands before each path
	index   int    // as an element
	scalar  any    // string, json.Number, bool or nil; without meaning in a list or object
	list    bool
	object  bool
	nodes   []*node // the object's members or the list's elements
	used    bool
	scope   *scope   // where expressions in it are evaluated; nil: text is text
	missing []string // why what stands here is a placeholder
}

// maxDepth bounds how deep lists and objects nest; real templates stay below 30.
const maxDepth = 200

// parseJSON reads a document. Its error has line and column, or the path.
func parseJSON(content []byte) (*node, error) {
	if len(content) > maxFile {
		return nil, fmt.Errorf("%d bytes are more than the %d that are read", len(content), maxFile)
	}
	if bytes.HasPrefix(content, []byte{0xff, 0xfe}) || bytes.HasPrefix(content, []byte{0xfe, 0xff}) {
		return nil, errors.New("line 1, column 1: the file is UTF-16; save it as UTF-8")
	}
	content = blankComments(bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")))
	var whole json.RawMessage
	if err := json.Unmarshal(content, &whole); err != nil {
		return nil, syntaxError(content, err)
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	root := &node{}
	return root, root.read(d, 0)
}

// read fills n with the next value of well-formed JSON.
func (n *node) read(d *json.Decoder, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: nested more than %d deep", cut(n.path()), maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		n.object = true
		return n.readMembers(d, depth)
	case json.Delim('['):
		n.list = true
		return n.readElements(d, depth)
	}
	n.scalar = token
	return nil
}

func (n *node) readMembers(d *json.Decoder, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		member := &node{parent: n, key: token.(string)}
		if seen[member.key] {
			return fmt.Errorf("%s: given twice", cut(member.path()))
		}
		seen[member.key] = true
		if err := member.read(d, depth+1); err != nil {
			return err
		}
		n.nodes = append(n.nodes, member)
	}
	_, err := d.Token()
	return err
}

func (n *node) readElements(d *json.Decoder, depth int) error {
	for d.More() {
		element := &node{parent: n, index: len(n.nodes)}
		if err := element.read(d, depth+1); err != nil {
			return err
		}
		n.nodes = append(n.nodes, element)
	}
	_, err := d.Token()
	return err
}

// path is made when it is asked for, as most places are never told, and is no
// longer than what is told of it.
func (n *node) path() string {
	var nodes []*node
	for ; n != nil; n = n.parent {
		nodes = append(nodes, n)
	}
	path := nodes[len(nodes)-1].key
	for i := len(nodes) - 2; i >= 0 && len(path) <= maxTold; i-- {
		if nodes[i+1].list {
			path = fmt.Sprintf("%s[%d]", path, nodes[i].index)
		} else {
			path = join(path, cut(nodes[i].key))
		}
	}
	return path
}

// size is how many members or elements there are.
func (n *node) size() int {
	if n == nil {
		return 0
	}
	return len(n.nodes)
}

// place opens a message about n; about a whole document it says nothing.
func place(n *node) string {
	if path := cut(n.path()); path != "" {
		return strings.TrimSuffix(path, ": ") + ": "
	}
	return ""
}

// member returns the member of that name, nil if there is none. Letter case does
// not count: resource manager has it so, and its tools spell some names in two ways.
func (n *node) member(name string) *node {
	if n == nil || !n.object {
		return nil
	}
	for _, m := range n.nodes {
		if strings.EqualFold(m.key, name) {
			return m
		}
	}
	return nil
}

// syntaxError says where, as an editor counts: lines and bytes from 1.
func syntaxError(content []byte, err error) error {
	offset := len(content)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && !strings.HasPrefix(syntax.Error(), "unexpected end") {
		offset = max(int(syntax.Offset)-1, 0)
	}
	before := content[:offset]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := offset - bytes.LastIndexByte(before, '\n')
	return fmt.Errorf("line %d, column %d: not JSON: %w", line, column, err)
}

// blankComments replaces comments, which templates may have, with as much white
// space, so that places stay true.
func blankComments(content []byte) []byte {
	out := bytes.Clone(content)
	for i := 0; i < len(out); i++ {
		switch {
		case out[i] == '"':
			i = endOfString(out, i)
		case bytes.HasPrefix(out[i:], []byte("//")):
			i = blank(out, i, "\n")
		case bytes.HasPrefix(out[i:], []byte("/*")):
			i = blank(out, i, "*/")
		}
	}
	return out
}

// endOfString returns the index of the quote that closes the string at i.
func endOfString(b []byte, i int) int {
	for i++; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i
}

// blank makes white space of b from i to the end of end, lines kept, and returns
// the index of the last byte.
func blank(b []byte, i int, end string) int {
	stop := len(b)
	if n := bytes.Index(b[i+2:], []byte(end)); n >= 0 {
		stop = i + 2 + n + len(end)
	}
	for ; i < stop; i++ {
		if b[i] != '\n' {
			b[i] = ' '
		}
	}
	return stop - 1
}

// join appends a key to a path, in brackets where it would not read as one.
func join(path, key string) string {
	odd := func(r rune) bool {
		return r != '_' && r != '-' && r != '$' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	switch {
	case key == "" || strings.ContainsFunc(key, odd):
		return path + "[" + strconv.Quote(key) + "]"
	case path == "" || strings.HasSuffix(path, " "): // " ": a file's name stands before
		return path + key
	}
	return path + "." + key
}

// maxTold bounds what a message says of one thing, in bytes: longer than any place
// or name that was meant.
const maxTold = 300

// cut shortens what would drown a message, and keeps it one line.
func cut(s string) string {
	if len(s) > maxTold {
		s = strings.ToValidUTF8(s[:maxTold], "") + "…"
	}
	return oneLine(s)
}
