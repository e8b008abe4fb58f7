package azure

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// sections are the configuration's lists in its own order; those whose elements
// are short stand one to a line.
var sections = []struct {
	name  string
	short bool
}{
	{"frontendIPConfigurations", true},
	{"backendAddressPools", false},
	{"outboundRules", false},
	{"inboundNatRules", false},
	{"inboundNatPools", false},
	{"loadBalancingRules", false},
	{"probes", true},
	{"instancePublicIPs", true},
}

// YAML returns the configuration as text. It opens with a comment that says what
// it was made from.
func (d *Document) YAML() ([]byte, error) {
	var out bytes.Buffer
	for _, line := range d.origin {
		fmt.Fprintf(&out, "# %s\n", oneLine(line))
	}
	fmt.Fprintln(&out, "# Text in <> is a placeholder: write what it stands for. `tidegate check` names each.")
	root, err := d.tree()
	if err != nil {
		return nil, fmt.Errorf("azure: write configuration: %w", err)
	}
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("azure: write configuration: %w", err)
	}
	return out.Bytes(), e.Close()
}

func (d *Document) tree() (*yaml.Node, error) {
	profile, comment := "azure", ""
	if d.reason != "" {
		profile, comment = "azure-2026", "# "+d.reason
	}
	inside := fields{{"interface", placeholder("inside interface")}}
	outside := fields{{"interface", placeholder("outside interface")}}
	root, err := mapping(fields{{"profile", profile}, {"gateway", fields{{"inside", inside}, {"outside", outside}}}}, 0)
	if err != nil {
		return nil, err
	}
	root.Content[1].LineComment = comment
	for _, s := range sections {
		if len(d.section[s.name]) == 0 {
			continue
		}
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, f := range d.section[s.name] {
			element, err := mapping(f, 0)
			if err != nil {
				return nil, err
			}
			if s.short {
				element.Style = yaml.FlowStyle
			}
			list.Content = append(list.Content, element)
		}
		root.Content = append(root.Content, text(s.name), list)
	}
	return root, nil
}

// mapping returns f as a map; one within another's value stands on one line.
func mapping(f fields, depth int) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	if depth > 1 {
		n.Style = yaml.FlowStyle
	}
	for _, field := range f {
		v, err := valueNode(field.value, depth+1)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, text(field.key), v)
	}
	return n, nil
}

func valueNode(v any, depth int) (*yaml.Node, error) {
	switch v := v.(type) {
	case fields:
		return mapping(v, depth)
	case []any:
		return sequence(v)
	}
	n := &yaml.Node{}
	return n, n.Encode(v)
}

// longList is how many elements still read well on one line.
const longList = 8

func sequence(list []any) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, e := range list {
		v, err := valueNode(e, 2)
		if err != nil {
			return nil, err
		}
		if v.Kind == yaml.MappingNode || len(list) > longList {
			n.Style = 0
		}
		n.Content = append(n.Content, v)
	}
	return n, nil
}

func text(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }
