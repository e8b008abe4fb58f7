package config

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// places finds where everything stands in content.
// It refuses that of which the codec took only a part: the first of several YAML
// documents, the last of several JSON keys of one name. (TOML's and YAML's codecs
// refuse double keys themselves.) An *excess is content that no codec should see.
func places(format string, content []byte) (*place, error) {
	if format == "json" {
		j := jsonPlaces{Decoder: json.NewDecoder(bytes.NewReader(content)), ends: lineEndsOf(content)}
		root, err := j.value()
		root.line = 0
		return root, err
	}
	if err := checkSeparators(content); err != nil {
		return nil, err
	}
	if format == "toml" {
		return tomlPlaces(content)
	}
	return yamlFile(content)
}

func yamlFile(content []byte) (*place, error) {
	if err := secondDocument(content); err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil || len(document.Content) == 0 {
		return &place{}, err // nothing but comments
	}
	y := yamlPlaces{anchors: map[*yaml.Node]anchor{}}
	root, err := y.value(document.Content[0])
	root.line = 0
	return root, err
}

// yamlPlaces remembers what anchors stand for, so that an alias costs nothing
// however much it repeats.
type yamlPlaces struct {
	bounds
	anchors map[*yaml.Node]anchor
}

// anchor is what stands there, and how many values that is.
type anchor struct {
	*place
	values int
}

func (y *yamlPlaces) value(n *yaml.Node) (*place, error) {
	p, before := &place{line: n.Line}, y.values
	err := y.enter(n.Line)
	defer y.leave()
	switch {
	case err != nil:
	case n.Kind == yaml.AliasNode:
		if original := y.anchors[n.Alias]; original.place != nil {
			p = &place{line: n.Line, keys: original.keys, items: original.items}
			err = y.count(original.values, n.Line)
		}
	case n.Kind == yaml.SequenceNode:
		err = y.elements(p, n.Content)
	case n.Kind == yaml.MappingNode:
		err = y.members(p, n.Content)
	}
	if n.Anchor != "" {
		y.anchors[n] = anchor{p, y.values - before}
	}
	return p, err
}

func (y *yamlPlaces) elements(p *place, content []*yaml.Node) error {
	if err := checkElementCount(len(content), p.line); err != nil {
		return err
	}
	for i, n := range content {
		item, err := y.value(n)
		if err != nil {
			return under(at("", i), err)
		}
		p.items = append(p.items, item)
	}
	return nil
}

// members adds keys and values, which take turns. What << merges in counts where
// the map has no such key.
func (y *yamlPlaces) members(p *place, content []*yaml.Node) error {
	if err := checkKeyCount(len(content)/2, p.line); err != nil {
		return err
	}
	var merged []*place
	for i := 0; i+1 < len(content); i += 2 {
		key := content[i]
		held, err := y.value(content[i+1])
		if err != nil {
			return under(stepOf(key.Value), err)
		}
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
	return nil
}

type jsonPlaces struct {
	*json.Decoder
	bounds
	ends lineEnds
}

func (j *jsonPlaces) value() (*place, error) {
	token, err := j.Token()
	p := &place{line: j.ends.at(int(j.InputOffset()))}
	if err != nil {
		return p, err
	}
	if err := j.enter(p.line); err != nil {
		return p, err
	}
	defer j.leave()
	switch token {
	case json.Delim('['):
		err = j.elements(p)
	case json.Delim('{'):
		err = j.members(p)
	default:
		return p, nil
	}
	if err == nil {
		_, err = j.Token() // the closing bracket
	}
	return p, err
}

func (j *jsonPlaces) elements(p *place) error {
	for i := 0; j.More(); i++ {
		if err := checkElementCount(i+1, p.line); err != nil {
			return err
		}
		item, err := j.value()
		if err != nil {
			return under(at("", i), err)
		}
		p.items = append(p.items, item)
	}
	return nil
}

func (j *jsonPlaces) members(p *place) error {
	seen := map[string]bool{}
	for j.More() {
		if err := checkKeyCount(len(seen)+1, p.line); err != nil {
			return err
		}
		if err := j.member(p, seen); err != nil {
			return err
		}
	}
	return nil
}

func (j *jsonPlaces) member(p *place, seen map[string]bool) error {
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
		return under(stepOf(key), err)
	}
	held.line = line
	p.put(key, held)
	return nil
}
