package config

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/pelletier/go-toml/v2/unstable"
	"go.yaml.in/yaml/v3"
)

// places finds where everything stands in content that the codec has accepted.
// It refuses that of which the codec took only a part: the first of several YAML
// documents, the last of several JSON keys of one name. (TOML's and YAML's codecs
// refuse double keys themselves.)
func places(format string, content []byte) (*place, error) {
	switch format {
	case "json":
		root, err := jsonPlaces{json.NewDecoder(bytes.NewReader(content)), lineEndsOf(content)}.value()
		if err == nil {
			root.line = 0
		}
		return root, err
	case "toml":
		return tomlPlaces(content), nil
	}
	if err := secondDocument(content); err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil || len(document.Content) == 0 {
		return &place{}, err // nothing but comments
	}
	root := yamlPlaces{}.value(document.Content[0])
	root.line = 0
	return root, nil
}

// yamlPlaces remembers what anchors stand for, so that an alias costs nothing
// however much it repeats.
type yamlPlaces map[*yaml.Node]*place

func (y yamlPlaces) value(n *yaml.Node) *place {
	p := &place{line: n.Line}
	switch n.Kind {
	case yaml.AliasNode:
		if original := y[n.Alias]; original != nil {
			*p = *original
			p.line = n.Line
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			p.items = append(p.items, y.value(item))
		}
	case yaml.MappingNode:
		y.members(p, n.Content)
	}
	if n.Anchor != "" {
		y[n] = p
	}
	return p
}

// members adds keys and values, which take turns. What << merges in counts where
// the map has no such key.
func (y yamlPlaces) members(p *place, content []*yaml.Node) {
	var merged []*place
	for i := 0; i+1 < len(content); i += 2 {
		key, held := content[i], y.value(content[i+1])
		held.line = key.Line
		switch {
		case key.Tag == "!!merge" && held.items != nil:
			merged = append(merged, held.items...)
		case key.Tag == "!!merge":
			merged = append(merged, held)
		case key.Alias != nil:
			p.put(key.Alias.Value, held)
		default:
			p.put(key.Value, held)
		}
	}
	for _, m := range merged {
		for name, child := range m.keys {
			if p.keys[name] == nil {
				p.put(name, child)
			}
		}
	}
}

type jsonPlaces struct {
	*json.Decoder
	ends lineEnds
}

func (j jsonPlaces) value() (*place, error) {
	token, err := j.Token()
	p := &place{line: j.ends.at(int(j.InputOffset()))}
	if token != json.Delim('{') && token != json.Delim('[') {
		return p, err
	}
	seen := map[string]bool{}
	for j.More() {
		if token == json.Delim('{') {
			err = j.member(p, seen)
		} else {
			var item *place
			item, err = j.value()
			p.items = append(p.items, item)
		}
		if err != nil {
			return nil, err
		}
	}
	_, err = j.Token() // the closing bracket
	return p, err
}

func (j jsonPlaces) member(p *place, seen map[string]bool) error {
	token, err := j.Token()
	if err != nil {
		return err
	}
	key, line := token.(string), j.ends.at(int(j.InputOffset()))
	if seen[key] {
		return fmt.Errorf("line %d: key %q is given twice", line, key)
	}
	seen[key] = true
	held, err := j.value()
	if err != nil {
		return err
	}
	held.line = line
	p.put(key, held)
	return nil
}

// tomlPlaces follows the headers of tables: each key goes where the last one led.
func tomlPlaces(content []byte) *place {
	root := &place{}
	table := root
	t := tomlReader{ends: lineEndsOf(content)}
	t.Reset(content)
	for t.NextExpression() {
		switch e := t.Expression(); e.Kind {
		case unstable.Table:
			table = t.descend(root, e.Key())
		case unstable.ArrayTable:
			list := t.descend(root, e.Key())
			table = &place{line: t.lineOf(e.Child())}
			list.items = append(list.items, table)
		case unstable.KeyValue:
			t.keyValue(table, e)
		}
	}
	return root
}

type tomlReader struct {
	unstable.Parser
	ends lineEnds
}

func (t *tomlReader) lineOf(n *unstable.Node) int { return t.ends.at(int(n.Raw.Offset)) }

// descend walks a dotted key. Of a list of tables met on the way the last one
// is meant; the list at the end is the key's own.
func (t *tomlReader) descend(p *place, key unstable.Iterator) *place {
	for key.Next() {
		if last := len(p.items) - 1; last >= 0 {
			p = p.items[last]
		}
		name := string(key.Node().Data)
		if p.keys[name] == nil {
			p.put(name, &place{line: t.lineOf(key.Node())})
		}
		p = p.keys[name]
	}
	return p
}

func (t *tomlReader) keyValue(table *place, e *unstable.Node) {
	t.value(t.descend(table, e.Key()), e.Value())
}

// value fills in what p holds. An array has no place of its own in the parser's
// tree, which costs only lists of lists their lines: theirs is the key's.
func (t *tomlReader) value(p *place, n *unstable.Node) {
	children := n.Children()
	switch n.Kind {
	case unstable.InlineTable:
		for children.Next() {
			t.keyValue(p, children.Node())
		}
	case unstable.Array:
		for children.Next() {
			item := &place{line: p.line}
			if e := children.Node(); e.Kind != unstable.Array {
				item.line = t.lineOf(e)
			}
			t.value(item, children.Node())
			p.items = append(p.items, item)
		}
	}
}
