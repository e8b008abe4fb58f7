package azure

import (
	"strings"
)

func newConversion(g *group, lb resource, files string) *conversion {
	name := cut(lb.own())
	if name == "" {
		name = "without a name"
	}
	c := &conversion{
		Document: newDocument("Made by `tidegate import arm` from " + cut(files) + ": load balancer " + name + "."),
		group:    g, lb: lb,
		parts: map[string][]part{}, names: map[string]map[string]int{}, room: maxMembers, left: map[string]string{},
		members: map[string][]member{}, targets: map[string]member{}, natPool: map[string]string{},
	}
	for _, w := range g.warnings {
		c.Document.warn(w.Path, "%s", w.Message)
	}
	return c
}

// convert fills the document in the order of its sections.
func (c *conversion) convert() {
	c.lb.node.used = true
	c.envelope()
	c.collect()
	for _, p := range c.parts[frontends] {
		c.frontend(p)
	}
	c.interfaces()
	c.scaleSets()
	for _, p := range c.parts[pools] {
		c.pool(p)
	}
	for _, p := range c.parts[egress] {
		c.outboundRule(p)
	}
	for _, p := range c.parts[natRules] {
		c.natRule(p)
	}
	for _, p := range c.parts[natPools] {
		c.inboundNATPool(p)
	}
	for _, p := range c.parts[lbRules] {
		c.loadBalancingRule(p)
	}
	for _, p := range c.parts[probes] {
		c.probe(p)
	}
	c.aside()
	c.unread(c.lb.node)
	for _, collection := range collections {
		for _, p := range c.parts[collection] {
			c.unreadIn(p)
		}
	}
}

// unreadIn tells what was not read of a part's sources outside the load balancer.
func (c *conversion) unreadIn(p part) {
	for _, n := range p.sources {
		top := n
		for top.parent != nil && top != c.lb.node {
			top = top.parent
		}
		if top != c.lb.node {
			c.unread(n)
		}
	}
}

// envelope is what the resource says of itself.
func (c *conversion) envelope() {
	whole := part{sources: []*node{c.lb.node}}
	if n := c.lb.node.member("name"); n != nil {
		c.told(n.use())
	}
	if c.get(whole, "sku") == nil {
		c.warnAt(c.lb.node, "no sku: Azure takes it as Basic; here it becomes Standard's behaviour")
		return
	}
	sku, ok := c.object(whole, "sku")
	if !ok {
		return
	}
	switch name := c.text(sku, "name"); strings.ToLower(name) {
	case "", "standard":
	case "gateway":
		c.warnAt(c.get(sku, "name"), "the Gateway SKU is not supported: its tunnels are not carried over")
	default:
		c.warnAt(c.get(sku, "name"), "%s becomes Standard's behaviour", name)
	}
	if tier := c.text(sku, "tier"); tier != "" && !strings.EqualFold(tier, "Regional") {
		c.warnAt(c.get(sku, "tier"), "the tier %s is not supported: the load balancer is taken as a regional one", tier)
	}
}

// aside tells of resources that change what packets meet and are not carried over.
func (c *conversion) aside() {
	for _, r := range c.of("Microsoft.Network/natGateways") {
		c.warnAt(r.node, "a NAT gateway is not carried over; in Azure it wins over outbound rules where its subnets are")
	}
	for _, r := range c.of("Microsoft.Resources/deployments") {
		c.warnAt(r.node, "a nested deployment is not looked into")
	}
	if len(c.others) > 0 {
		c.Document.warn("resources", "of no use here, not carried over: %s", c.otherTypes())
	}
}

func (c *conversion) frontend(p part) {
	var f fields
	f.set("name", p.name)
	public, isPublic := c.object(p, "publicIPAddress")
	prefix, isPrefix := c.object(p, "publicIPPrefix")
	private := c.address(p, "privateIPAddress")
	dynamic := strings.EqualFold(c.text(p, "privateIPAllocationMethod"), "Dynamic")
	v6 := strings.EqualFold(c.text(p, "privateIPAddressVersion"), "IPv6") || strings.Contains(private, ":")
	if isPublic {
		a := c.publicAddress(public, "publicIPAddress", "ipAddress")
		c.ownTimeout(a)
		f.set("publicIPAddress", a.text)
		v6 = v6 || a.v6
	}
	if isPrefix {
		a := c.publicAddress(prefix, "publicIPPrefix", "ipPrefix")
		f.set("publicIPPrefix", a.text)
		v6 = v6 || a.v6
	}
	if private == "" && !isPublic && !isPrefix {
		private = placeholder("privateIPAddress of %s", p.name)
	} else if private != "" && dynamic { // "Dynamic" of a public one says nothing
		c.warnAt(c.get(p, "privateIPAllocationMethod"), "Azure chose %s; here it stays as it is", private)
	}
	f.set("privateIPAddress", private)
	if v6 {
		c.left[strings.ToLower(p.name)] = "IPv6 is not supported"
		c.leave(p, "IPv6 is not supported; rules that use it are not either")
		return
	}
	c.emit(frontends, f)
}

// address returns a key's address, or a placeholder.
func (c *conversion) address(p part, key string) string {
	s := c.text(p, key)
	if strings.Contains(s, "<") {
		return placeholder("%s", s)
	}
	return s
}

// publicAddress is a public IP address or prefix.
type publicAddress struct {
	text string // the address or a placeholder
	name string // the resource's
	v6   bool
	idle *node // its own idle timeout, nil if it says none
	part part  // where idle stands
}

// publicAddress finds the address behind a reference to a resource of that kind:
// in the reference itself, as some tools expand it, or in the same files.
func (c *conversion) publicAddress(reference part, kind, key string) publicAddress {
	a := publicAddress{part: reference, name: "?"}
	if id := c.id(reference.sources[0]); id != nil {
		text, _ := textOf(id)
		name, at := after(splitID(text), kind+"es")
		switch {
		case at >= 0:
			a.name = name
		case len(id.missing) > 0:
			a.name = text
		default:
			c.fault(id, "%q is the id of no %s", text, kind)
		}
		if len(id.missing) > 0 && (at < 0 || strings.Contains(name, "<")) {
			c.told(id)
		}
	}
	a.text = c.address(reference, key)
	if r, ok := c.find("Microsoft.Network/"+kind+"es", a.name); ok && a.text == "" {
		a.part = part{name: a.name, sources: []*node{r.node}}
		a.text = c.address(a.part, key)
	}
	a.v6 = strings.EqualFold(c.text(a.part, kind+"Version"), "IPv6") || strings.Contains(a.text, ":") && !strings.Contains(a.text, "<")
	a.idle = c.get(a.part, "idleTimeoutInMinutes")
	if a.text == "" {
		a.text = placeholder("%s of %s", kind, a.name)
	}
	return a
}

// defaultIdle is Azure's idle timeout where nothing is said, in minutes.
const defaultIdle = 4

// ownTimeout tells of a frontend address with an idle timeout of its own. Azure's
// pages let it win over the rules' for inbound flows, users have measured that it
// doesn't; here the rules' counts.
func (c *conversion) ownTimeout(a publicAddress) {
	if a.idle == nil {
		return
	}
	if n, _ := c.number(a.part, "idleTimeoutInMinutes").(int); n != defaultIdle {
		c.warnAt(a.idle, "an address has no idle timeout here; each rule's own counts")
	}
}
