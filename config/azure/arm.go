package azure

import (
	"errors"
	"fmt"
	"strings"
)

// loadBalancers is the resource type that this is about.
const loadBalancers = "Microsoft.Network/loadBalancers"

// ARM makes a configuration of a load balancer's resource: as the REST API has
// it, as `az network lb show` prints it, or in a template, a Bicep file's output
// or an exported resource group, with other resources of the same files used to
// learn addresses. Parameters files fill in a template's parameters. name says
// which load balancer is meant where there are several; empty: there is one.
//
// The error tells every fault at once, one a line, each with its file and place.
func ARM(files []File, name string) (*Document, error) {
	g, names := &group{}, fileNames(files)
	documents, parameters, err := parseAll(files)
	if err != nil {
		return nil, err
	}
	given := g.give(parameters, documents)
	for i, root := range documents {
		if root == nil { // parameters
			continue
		}
		if err := g.addDocument(root, given); err != nil {
			return nil, inFile(files[i].Name, err)
		}
	}
	lb, err := g.choose(name)
	if err != nil {
		return nil, inFile(names, err)
	}
	c := newConversion(g, lb, names)
	c.convert()
	if len(c.faults) > 0 {
		return nil, inFile(names, errors.Join(c.faults...))
	}
	return c.Document, nil
}

// parseAll returns the documents in the order of the files, nil in the place of a
// parameters file, and what the parameters files give. Where there are several
// documents, paths open with their file's name; a parameters file's always do.
func parseAll(files []File) (documents, parameters []*node, err error) {
	several := -1
	for _, f := range files {
		root, err := parseJSON(f.Content)
		if err != nil {
			return nil, nil, inFile(f.Name, err)
		}
		if !isParametersFile(root) {
			documents, several = append(documents, root), several+1
			continue
		}
		documents = append(documents, nil)
		root.key = cut(f.Name) + ": "
		parameters = append(parameters, root.member("parameters").nodes...)
	}
	for i, root := range documents {
		if root != nil && several > 0 {
			root.key = cut(files[i].Name) + ": "
		}
	}
	return documents, parameters, nil
}

// give returns the parameters' values by lower-case name. It tells of those that no
// template declares, and puts a placeholder in place of a value that is not there:
// the template's default is what the deployment does not have.
func (g *group) give(parameters, documents []*node) map[string]*node {
	declared, given := map[string]bool{}, map[string]*node{}
	for _, root := range documents {
		if all := root.member("parameters"); all != nil {
			for _, p := range all.nodes {
				declared[strings.ToLower(p.key)] = true
			}
		}
	}
	for _, p := range parameters {
		name, value := strings.ToLower(p.key), p.member("value")
		switch {
		case !declared[name]:
			g.warn(p, "no template declares it")
		case value == nil:
			g.warn(p, "has no value, as the reference to a key vault has none: where it is needed stands a placeholder; write the value in")
		}
		if value == nil {
			value = &node{scalar: placeholder("parameter %s", p.key),
				missing: []string{fmt.Sprintf("parameter %q is given without a value; write it in", cut(p.key))}}
		}
		given[name] = value
	}
	return given
}

// inFile says of each fault where it is.
func inFile(name string, err error) error {
	faults := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		faults = joined.Unwrap()
	}
	for i, f := range faults {
		faults[i] = fmt.Errorf("azure: import %s: %w", cut(name), f)
	}
	return errors.Join(faults...)
}

func fileNames(files []File) string {
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

// isParametersFile knows the file that goes with a template by its schema, or by
// having parameters with values and nothing to deploy.
func isParametersFile(root *node) bool {
	parameters := root.member("parameters")
	if parameters == nil || !parameters.object || root.member("resources") != nil {
		return false
	}
	schema, _ := textOf(root.member("$schema"))
	return strings.Contains(strings.ToLower(schema), "parameters.json") || root.member("properties") == nil
}

// textOf returns the text of a node, if that is what it is.
func textOf(n *node) (string, bool) {
	if n == nil {
		return "", false
	}
	s, ok := n.scalar.(string)
	return s, ok
}

// splitID splits an id or a name at its slashes, those within <> aside.
func splitID(id string) []string {
	var parts []string
	inside, start := false, 0
	for i := range len(id) {
		switch c := id[i]; {
		case c == '<':
			inside = true
		case c == '>':
			inside = false
		case c == '/' && !inside:
			parts = append(parts, id[start:i])
			start = i + 1
		}
	}
	return append(parts, id[start:])
}

// after returns the part of an id that follows the last one called kind, and
// where kind stands; -1 if it does not.
func after(parts []string, kind string) (string, int) {
	for i := len(parts) - 2; i >= 0; i-- {
		if strings.EqualFold(parts[i], kind) {
			return parts[i+1], i
		}
	}
	return "", -1
}
