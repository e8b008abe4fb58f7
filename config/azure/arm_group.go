package azure

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// group is what the files hold: resources by their lower-case type.
type group struct {
	resources map[string][]resource
	named     map[string]resource // by lower-case type, slash and name
	others    map[string]bool     // types that are of no use here
	warnings  []Warning
}

// resource is one of a template, or the document itself.
type resource struct {
	*node
	kind string   // its type
	name []string // the last is its own, those before are its parents'
}

func (r resource) own() string { return r.name[len(r.name)-1] }

// useful are the types that are looked into; children of load balancers too.
var useful = []string{
	loadBalancers,
	"Microsoft.Network/publicIPAddresses",
	"Microsoft.Network/publicIPPrefixes",
	"Microsoft.Network/networkInterfaces",
	"Microsoft.Compute/virtualMachineScaleSets",
	"Microsoft.Network/natGateways",
	"Microsoft.Resources/deployments",
}

// addDocument finds out what a file is and takes its resources.
func (g *group) addDocument(root *node, given map[string]*node) error {
	switch {
	case root.list:
		return g.addBare(root.nodes)
	case !root.object:
		return fmt.Errorf("%sneither a template nor a resource of type %s", place(root), loadBalancers)
	case root.member("type") == nil && (root.member("resources") != nil || root.member("contentVersion") != nil):
		s := &scope{root.member("parameters"), root.member("variables"), given, map[string]bool{}, 0, 0, maxTotal}
		root.setScope(s)
		return g.addAll(root.member("resources"), "", nil)
	case root.member("value") != nil && root.member("value").list: // a REST list
		return g.addBare(root.member("value").nodes)
	}
	return g.addBare([]*node{root})
}

// addBare takes resources that stand in no template.
func (g *group) addBare(all []*node) error {
	for _, n := range all {
		typed := n.member("type") != nil
		if !typed && looksLikeLoadBalancer(n) {
			name, _ := textOf(n.member("name"))
			g.put(resource{n, loadBalancers, []string{name}})
			continue
		}
		if !typed {
			return fmt.Errorf("%sneither a template nor a resource of type %s", place(n), loadBalancers)
		}
		if err := g.add(n, "", nil); err != nil {
			return err
		}
	}
	return nil
}

func looksLikeLoadBalancer(n *node) bool {
	return n.member("frontendIPConfigurations") != nil || n.member("properties").member("frontendIPConfigurations") != nil
}

// addAll takes a template's resources: a list, or in language version 2.0 an
// object by symbolic name. Those within another have its type and name before theirs.
func (g *group) addAll(resources *node, kind string, parents []string) error {
	if resources == nil || resources.resolve().scalar == nil && !resources.list && !resources.object {
		return nil
	}
	resources.used = true
	if !resources.list && !resources.object {
		return fmt.Errorf("%sis neither a list nor an object of resources", place(resources))
	}
	for _, n := range resources.nodes {
		if err := g.add(n, kind, parents); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) add(n *node, parentKind string, parents []string) error {
	if !n.resolve().object {
		return fmt.Errorf("%sis not a resource", place(n))
	}
	kind, ok := textOf(resolved(n.member("type")))
	if !ok {
		return fmt.Errorf("%sneeds its type as text, such as %s", place(n), loadBalancers)
	}
	name, _ := textOf(resolved(n.member("name")))
	if existing := resolved(n.member("existing")); existing != nil && existing.scalar == true {
		return nil // a reference to what is deployed already
	}
	names := splitID(name)
	if parentKind != "" && !strings.Contains(kind, ".") {
		kind = parentKind + "/" + kind
		names = append(slices.Clone(parents), splitID(name)...)
	}
	if !g.deployed(n) {
		return nil
	}
	g.put(resource{n, kind, names})
	return g.addAll(n.member("resources"), kind, names)
}

func resolved(n *node) *node {
	if n == nil {
		return nil
	}
	return n.resolve()
}

// deployed sees to a resource's condition.
func (g *group) deployed(n *node) bool {
	condition := resolved(n.member("condition"))
	if condition == nil {
		return true
	}
	condition.used = true
	switch condition.scalar {
	case true:
	case false:
		g.warn(condition, "the condition is false: the resource is not carried over")
		return false
	default:
		g.warn(condition, "the condition can't be resolved and is taken as true")
	}
	return true
}

func (g *group) warn(n *node, format string, args ...any) {
	g.warnings = append(g.warnings, Warning{n.path(), fmt.Sprintf(format, args...)})
}

func (g *group) put(r resource) {
	if g.resources == nil {
		g.resources, g.named, g.others = map[string][]resource{}, map[string]resource{}, map[string]bool{}
	}
	kind := strings.ToLower(r.kind)
	known := strings.HasPrefix(kind, strings.ToLower(loadBalancers)+"/")
	for _, u := range useful {
		known = known || strings.EqualFold(u, kind)
	}
	if !known {
		g.others[r.kind] = true
		return
	}
	g.resources[kind] = append(g.resources[kind], r)
	if key := kind + "/" + strings.ToLower(r.own()); g.named[key].node == nil {
		g.named[key] = r
	}
}

// of returns the resources of a type.
func (g *group) of(kind string) []resource { return g.resources[strings.ToLower(kind)] }

// find returns the resource of a type and name.
func (g *group) find(kind, name string) (resource, bool) {
	r, ok := g.named[strings.ToLower(kind)+"/"+strings.ToLower(name)]
	return r, ok
}

// otherTypes lists the types that are of no use here.
func (g *group) otherTypes() string {
	return strings.Join(slices.Sorted(maps.Keys(g.others)), ", ")
}

// choose returns the load balancer that is meant.
func (g *group) choose(name string) (resource, error) {
	all := g.of(loadBalancers)
	var names []string
	for _, lb := range all {
		names = append(names, cut(lb.own()))
	}
	list := strings.Join(names, ", ")
	switch {
	case len(all) == 0 && len(g.of("Microsoft.Resources/deployments")) > 0:
		return resource{}, errors.New("no " + loadBalancers + " in it, but a nested deployment; give its template by itself")
	case len(all) == 0 && len(g.others) > 0:
		return resource{}, fmt.Errorf("no %s in it, only %s", loadBalancers, cut(g.otherTypes()))
	case len(all) == 0:
		return resource{}, errors.New("no " + loadBalancers + " in it")
	case name != "":
		if lb, ok := g.find(loadBalancers, name); ok {
			return lb, nil
		}
		return resource{}, fmt.Errorf("no load balancer %q in it; there is %s", name, list)
	case len(all) > 1:
		return resource{}, fmt.Errorf("%d load balancers in it: %s; say which with --name NAME", len(all), list)
	}
	return all[0], nil
}
