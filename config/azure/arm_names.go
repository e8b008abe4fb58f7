package azure

import "strings"

// Collections of a load balancer.
const (
	frontends = "frontendIPConfigurations"
	pools     = "backendAddressPools"
	probes    = "probes"
	lbRules   = "loadBalancingRules"
	natRules  = "inboundNatRules"
	natPools  = "inboundNatPools"
	egress    = "outboundRules"
)

var collections = []string{frontends, pools, probes, lbRules, natRules, natPools, egress}

// collect takes the elements of every collection: those within the load balancer,
// then those that are resources of their own. Names that references may lead to
// are known afterwards.
func (c *conversion) collect() {
	whole := part{sources: []*node{c.lb.node}}
	for _, collection := range collections {
		c.names[collection] = map[string]int{}
		for _, n := range c.list(whole, collection) {
			c.collectOne(collection, n, "")
		}
		for _, child := range c.of(loadBalancers + "/" + collection) {
			c.collectChild(collection, child)
		}
	}
}

func (c *conversion) collectChild(collection string, child resource) {
	if len(child.name) < 2 {
		c.fault(child.node, "needs a name with its load balancer's before it: %s/%s", c.lb.own(), child.own())
		return
	}
	parent := child.name[len(child.name)-2]
	if !c.isOurs(parent) {
		if _, known := c.find(loadBalancers, parent); !known {
			c.warnAt(child.node, "belongs to load balancer %q, which is not in the input", parent)
		}
		return
	}
	child.node.used = true
	c.collectOne(collection, child.node, child.own())
}

// isOurs says whether a load balancer's name is that of the one at hand. Names
// that nothing resolves are taken as equal where there is only one.
func (c *conversion) isOurs(name string) bool {
	unknown := name == "" || c.lb.own() == "" || strings.Contains(name+c.lb.own(), "<")
	return strings.EqualFold(name, c.lb.own()) || unknown && len(c.of(loadBalancers)) == 1
}

func (c *conversion) collectOne(collection string, n *node, name string) {
	if !n.object {
		if !c.told(n) {
			c.fault(n, "is not an object")
		}
		return
	}
	p := part{sources: []*node{n}}
	if n := n.member("name").use(); n != nil {
		c.told(n)
	}
	if name == "" {
		name = c.text(p, "name")
	}
	if name == "" {
		c.fault(n, "needs a name")
		return
	}
	if i, twice := c.names[collection][strings.ToLower(name)]; twice {
		known := &c.parts[collection][i]
		known.sources = append(known.sources, n)
		return
	}
	p.name = name
	c.names[collection][strings.ToLower(name)] = len(c.parts[collection])
	c.parts[collection] = append(c.parts[collection], p)
}

// reference returns the name that a key's { "id": … } leads to, "" if the key is
// not there.
func (c *conversion) reference(p part, key, collection string) string {
	n := c.get(p, key)
	if n == nil {
		return ""
	}
	name, _ := c.follow(n, collection)
	return name
}

// follow returns the name that { "id": … } leads to in a collection, and whether
// it is one of this load balancer's.
func (c *conversion) follow(n *node, collection string) (string, bool) {
	id := c.id(n)
	if id == nil {
		return "", false
	}
	text, _ := textOf(id)
	parts := splitID(text)
	name, at := after(parts, collection)
	if at < 0 {
		if c.told(id) {
			return placeholder("%s of %s", collection, text), false
		}
		c.fault(id, "%q leads to none of the load balancer's %s", text, collection)
		return "", false
	}
	if at >= 2 && strings.EqualFold(parts[at-2], "loadBalancers") && !c.isOurs(parts[at-1]) {
		c.fault(id, "%q leads to another load balancer than %q", text, c.lb.own())
		return "", false
	}
	if i, ok := c.names[collection][strings.ToLower(name)]; ok {
		return c.parts[collection][i].name, true
	}
	if strings.Contains(name, "<") {
		c.told(id)
		return name, false
	}
	c.fault(id, "%q is none of the load balancer's %s", name, collection)
	return "", false
}

// id returns the id of { "id": … }.
func (c *conversion) id(n *node) *node {
	switch {
	case !n.object && len(n.missing) > 0:
		return n
	case !n.object:
		c.fault(n, "is not an object with an id")
		return nil
	}
	id := n.member("id").use()
	if id == nil || id.empty() {
		return nil
	}
	if _, ok := textOf(id); !ok {
		c.fault(id, "is not text")
		return nil
	}
	return id
}

// ours says whether an id elsewhere (in a network interface) leads to a collection
// of this load balancer; one that leads to another is not ours to judge.
func (c *conversion) ours(n *node, collection string) (string, bool) {
	id, _ := textOf(n.member("id").use())
	parts := splitID(id)
	if _, at := after(parts, collection); at < 1 || !c.isOurs(parts[at-1]) {
		return "", false
	}
	return c.follow(n, collection)
}
