package azure

import (
	"fmt"
	"strings"
)

// member is a backend as the input knows it.
type member struct {
	key     string // network interface/configuration; "" for a bare address
	address string // or a placeholder
	state   string // adminState; "": None
	v6      bool
}

// interfaces takes from network interfaces in the input which pools and NAT rules
// they are members of, and their instance-level public IPs.
func (c *conversion) interfaces() {
	for _, r := range c.of("Microsoft.Network/networkInterfaces") {
		nic := part{name: r.own(), sources: []*node{r.node}}
		for _, n := range c.list(nic, "ipConfigurations") {
			p := part{sources: []*node{n}}
			p.name = r.own() + "/" + c.text(p, "name")
			if joined := c.join(p); joined && r.member("copy") != nil {
				c.warnAt(r.member("copy"), "a copy loop is not expanded: one member stands for all; write the others")
			}
		}
	}
}

// join makes one configuration of a network interface a member of what it says,
// and says whether it says anything.
func (c *conversion) join(p part) bool {
	m := member{key: p.name, address: c.address(p, "privateIPAddress")}
	m.v6 = strings.EqualFold(c.text(p, "privateIPAddressVersion"), "IPv6") || strings.Contains(m.address, ":") && !strings.Contains(m.address, "<")
	if m.address == "" {
		m.address = addressOf(p.name)
	}
	joined := false
	for _, n := range c.list(p, "loadBalancerBackendAddressPools") {
		if pool, ok := c.ours(n, pools); ok {
			c.members[pool] = append(c.members[pool], m)
			joined = true
		}
	}
	for _, n := range c.list(p, "loadBalancerInboundNatRules") {
		if rule, ok := c.ours(n, natRules); ok {
			c.targets[rule] = m
			joined = true
		}
	}
	if public, ok := c.object(p, "publicIPAddress"); ok {
		c.instancePublicIP(m, public)
		joined = true
	}
	return joined
}

func addressOf(key string) string { return placeholder("address of %s", key) }

func (c *conversion) instancePublicIP(m member, public part) {
	a := c.publicAddress(public, "publicIPAddress", "ipAddress")
	if m.v6 || a.v6 {
		c.warnAt(public.sources[0], "IPv6 is not supported: not carried over")
		return
	}
	var f fields
	f.set("name", a.name)
	f.set("publicIPAddress", a.text)
	f.set("backendAddress", m.address)
	if a.idle != nil {
		c.idle(&f, a.idle.path(), c.number(a.part, "idleTimeoutInMinutes"), maxIdle)
	}
	c.emit("instancePublicIPs", f)
}

// maxInstances is how many instances a scale set can have.
const maxInstances = 1000

// maxMembers is how many a pool can have, and how many instances stand in one
// document at most.
const maxMembers = 5000

// scaleSets takes from scale sets which pools their instances are members of.
func (c *conversion) scaleSets() {
	for _, r := range c.of("Microsoft.Compute/virtualMachineScaleSets") {
		profile, ok := c.object(part{sources: []*node{r.node}}, "virtualMachineProfile")
		if !ok {
			continue
		}
		network, _ := c.object(profile, "networkProfile")
		for _, nic := range c.list(network, "networkInterfaceConfigurations") {
			for _, n := range c.list(part{sources: []*node{nic}}, "ipConfigurations") {
				c.scaleSet(r, part{sources: []*node{n}})
			}
		}
	}
}

func (c *conversion) scaleSet(r resource, p part) {
	first := ""
	for _, n := range c.list(p, "loadBalancerBackendAddressPools") {
		if pool, ok := c.ours(n, pools); ok {
			c.members[pool] = append(c.members[pool], c.instances(r)...)
			if first == "" {
				first = pool
			}
		}
	}
	for _, n := range c.list(p, "loadBalancerInboundNatPools") {
		natPool, ok := c.ours(n, natPools)
		switch {
		case ok && first == "":
			c.warnAt(n.parent, "names no backend pool beside them: whose members get the ports of %s is not known", natPool)
		case ok:
			c.natPool[natPool] = first
		}
	}
	if public := c.get(p, "publicIPAddressConfiguration"); public != nil {
		c.warnAt(public, "a scale set's instance-level public IPs are not carried over; write instancePublicIPs")
	}
}

// instances stand for a scale set's, whose addresses no template knows.
func (c *conversion) instances(r resource) []member {
	sku, _ := c.object(part{sources: []*node{r.node}}, "sku")
	n, ok := c.number(sku, "capacity").(int)
	if !ok || n < 1 || n > min(maxInstances, c.room) {
		c.warnAt(r.node, "how many instances it has is not known; write their addresses")
		return []member{{key: r.own(), address: placeholder("addresses of %s", r.own())}}
	}
	c.room -= n
	var all []member
	for i := range n {
		key := fmt.Sprintf("%s/%d", r.own(), i)
		all = append(all, member{key: key, address: addressOf(key)})
	}
	return all
}

func (c *conversion) pool(p part) {
	var f fields
	f.set("name", p.name)
	all := c.backendAddresses(p)
	for _, n := range c.list(p, "backendIPConfigurations") {
		all = append(all, c.configuration(n))
	}
	all = append(all, c.members[p.name]...)
	if list := c.addresses(p, all); len(list) > 0 {
		f.set("addresses", list)
	} else if len(all) == 0 {
		f.set("addresses", []any{placeholder("addresses of %s", p.name)})
	}
	f.set("drainPeriodInSeconds", c.number(p, "drainPeriodInSeconds"))
	c.emit(pools, f)
}

// backendAddresses are the members that the pool itself lists.
func (c *conversion) backendAddresses(p part) []member {
	var all []member
	for _, n := range c.list(p, "loadBalancerBackendAddresses") {
		entry := part{sources: []*node{n}}
		m := member{address: c.address(entry, "ipAddress")}
		m.v6 = strings.Contains(m.address, ":") && !strings.Contains(m.address, "<")
		if nic := c.get(entry, "networkInterfaceIPConfiguration"); nic != nil {
			known := c.configuration(nic)
			m.key = known.key
			if m.address == "" {
				m.address, m.v6 = known.address, known.v6
			}
		}
		if m.address == "" {
			m.address = addressOf(p.name + "/" + c.text(entry, "name"))
		}
		if state := c.word(entry, "adminState", "None", "Up", "Down"); state != nil && state != "None" {
			m.state = state.(string)
		}
		all = append(all, m)
	}
	return all
}

// configuration returns the member behind { "id": …/networkInterfaces/… }.
func (c *conversion) configuration(n *node) member {
	id := c.id(n)
	if id == nil {
		return member{address: placeholder("address of ?")}
	}
	text, _ := textOf(id)
	parts := splitID(text)
	var key []string
	for _, kind := range []string{"virtualMachineScaleSets", "virtualMachines", "networkInterfaces", "ipConfigurations"} {
		if name, at := after(parts, kind); at >= 0 {
			key = append(key, name)
		}
	}
	if len(key) == 0 {
		if !c.told(id) {
			c.fault(id, "%q is the id of no network interface's configuration", text)
		}
		key = []string{text}
	}
	m := member{key: strings.Join(key, "/")}
	if len(key) == 2 {
		m.address, m.v6 = c.interfaceAddress(key[0], key[1])
	}
	if m.address == "" {
		m.address = addressOf(m.key)
	}
	return m
}

// interfaceAddress is what the input says of a configuration's address.
func (c *conversion) interfaceAddress(nic, configuration string) (string, bool) {
	r, ok := c.find("Microsoft.Network/networkInterfaces", nic)
	if !ok {
		return "", false
	}
	for _, n := range c.list(part{sources: []*node{r.node}}, "ipConfigurations") {
		p := part{sources: []*node{n}}
		if strings.EqualFold(c.text(p, "name"), configuration) {
			a := c.address(p, "privateIPAddress")
			return a, strings.Contains(a, ":") && !strings.Contains(a, "<")
		}
	}
	return "", false
}

// addresses lists members once each.
func (c *conversion) addresses(p part, all []member) []any {
	var list []any
	seen := map[string]bool{}
	for _, m := range all {
		key := strings.ToLower(m.key)
		switch {
		case m.v6:
			c.warnAt(p.sources[0], "member %s is not carried over: IPv6 is not supported", m.address)
			continue
		case key != "" && seen[key], seen[m.address]:
			continue
		}
		seen[key], seen[m.address] = true, true
		if m.state == "" {
			list = append(list, m.address)
			continue
		}
		list = append(list, fields{{"ipAddress", m.address}, {"adminState", m.state}})
	}
	return list
}
