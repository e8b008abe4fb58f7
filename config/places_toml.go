package config

import "github.com/pelletier/go-toml/v2/unstable"

// tomlPlaces follows the headers of tables: each key goes where the last one led.
func tomlPlaces(content []byte) (*place, error) {
	root := &place{}
	table := root
	t := tomlReader{ends: lineEndsOf(content)}
	t.Reset(content)
	for t.over == nil && t.NextExpression() {
		switch e := t.Expression(); e.Kind {
		case unstable.Table:
			table = t.descend(root, e.Key())
		case unstable.ArrayTable:
			list := t.descend(root, e.Key())
			table = &place{line: t.lineOf(e.Child())}
			t.add(list, table)
		case unstable.KeyValue:
			t.keyValue(table, e)
		}
	}
	return root, t.over
}

type tomlReader struct {
	unstable.Parser
	bounds
	ends lineEnds
	over error // an *excess
}

// add appends an element to a list.
func (t *tomlReader) add(list, item *place) {
	list.items = append(list.items, item)
	t.keep(checkElementCount(len(list.items), list.line))
	t.keep(t.count(1, item.line))
}

// keep remembers the first error.
func (t *tomlReader) keep(err error) {
	if t.over == nil {
		t.over = err
	}
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
			t.keep(checkKeyCount(len(p.keys)/2, p.line)) // each may stand there in two spellings
			t.keep(t.count(1, p.line))
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
		for t.over == nil && children.Next() {
			item := &place{line: p.line}
			if e := children.Node(); e.Kind != unstable.Array {
				item.line = t.lineOf(e)
			}
			t.value(item, children.Node())
			t.add(p, item)
		}
	}
}
