package azure

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// xmlNode is an XML element, or one of its attributes, namespaces left out, that
// knows its place and whether it was read.
type xmlNode struct {
	parent    *xmlNode
	name      string
	attribute bool
	nodes     []*xmlNode // attributes, then elements
	text      string
	order     int            // among elements of its name, from 1
	count     map[string]int // elements within, by name
	used      bool
}

// maxXML bounds one document, in bytes: a service has at most 25 roles and 150
// endpoints, which is a tenth of it.
const maxXML = 1 << 20

// parseXML reads a document. Its error has the line. Entities that a document
// declares are not expanded, so it can't grow.
func parseXML(content []byte) (*xmlNode, error) {
	if len(content) > maxXML {
		return nil, fmt.Errorf("%d bytes are more than the %d that are read", len(content), maxXML)
	}
	d := xml.NewDecoder(bytes.NewReader(content))
	d.CharsetReader = func(label string, _ io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("the encoding is %s; save the file as UTF-8", cut(label))
	}
	document := &xmlNode{}
	if err := document.read(d); err != nil {
		line, column := d.InputPos()
		return nil, fmt.Errorf("line %d, column %d: not XML: %w", line, column, err)
	}
	if len(document.nodes) == 0 {
		return nil, errors.New("line 1, column 1: not XML: there is no element")
	}
	root := document.nodes[0]
	root.parent = nil
	return root, nil
}

// read fills a document, element by element.
func (n *xmlNode) read(d *xml.Decoder) error {
	depth := 0
	var text []byte // since the last tag; what stands between elements is dropped
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return fmt.Errorf("nested more than %d deep", maxDepth)
			}
			n, text = n.open(token), nil
		case xml.EndElement:
			n.text = string(bytes.TrimSpace(text))
			n, depth, text = n.parent, depth-1, nil
		case xml.CharData:
			text = append(text, token...)
		}
	}
}

func (n *xmlNode) open(token xml.StartElement) *xmlNode {
	name := token.Name.Local
	if n.count == nil {
		n.count = map[string]int{}
	}
	n.count[name]++
	e := &xmlNode{parent: n, name: name, order: n.count[name]}
	for _, a := range token.Attr {
		if a.Name.Space == "xmlns" || a.Name.Local == "xmlns" || strings.HasSuffix(a.Name.Space, "XMLSchema-instance") {
			continue
		}
		e.nodes = append(e.nodes, &xmlNode{parent: e, name: a.Name.Local, attribute: true, text: strings.TrimSpace(a.Value)})
	}
	n.nodes = append(n.nodes, e)
	return e
}

// path is like XPath's: /ServiceDefinition/WebRole[1]/Endpoints/InputEndpoint[2]/@port.
// Elements that are alone of their name have no number.
func (n *xmlNode) path() string {
	switch {
	case n.parent == nil:
		return "/" + n.name
	case n.attribute:
		return n.parent.path() + "/@" + n.name
	case n.parent.count[n.name] > 1:
		return fmt.Sprintf("%s/%s[%d]", n.parent.path(), n.name, n.order)
	}
	return n.parent.path() + "/" + n.name
}

// child returns the first attribute or element of that name, marked as read; nil
// if there is none. Letter case does not count.
func (n *xmlNode) child(name string) *xmlNode {
	for _, c := range n.children(name) {
		return c
	}
	return nil
}

// children returns all of that name and marks them as read.
func (n *xmlNode) children(name string) []*xmlNode {
	if n == nil {
		return nil
	}
	var all []*xmlNode
	for _, c := range n.nodes {
		if strings.EqualFold(c.name, name) {
			c.used = true
			all = append(all, c)
		}
	}
	return all
}

// value returns the text of a child, "" if there is none.
func (n *xmlNode) value(name string) string {
	if c := n.child(name); c != nil {
		return c.text
	}
	return ""
}

// empty says whether n says nothing.
func (n *xmlNode) empty() bool { return n.text == "" && len(n.nodes) == 0 }
