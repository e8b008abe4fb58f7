package azure

import (
	"regexp"
	"strings"
)

// uses begins a rule: its name and its frontend. It says whether the frontend was
// carried over; if not, the rule is not either.
func (c *conversion) uses(p part) (fields, bool) {
	var f fields
	f.set("name", p.name)
	frontend := c.reference(p, "frontendIPConfiguration", frontends)
	f.set("frontendIPConfiguration", frontend)
	return f, c.carried(p, frontend)
}

func (c *conversion) carried(p part, frontend string) bool {
	why, left := c.left[strings.ToLower(frontend)]
	if left {
		c.leave(p, "its frontend %s is not: %s", frontend, why)
	}
	return !left
}

// leave gives a part up, and all in it.
func (c *conversion) leave(p part, format string, args ...any) {
	c.warnAt(p.sources[0], "not carried over: "+format, args...)
	for _, n := range p.sources {
		n.useAll()
	}
}

func (c *conversion) protocol(p part) any { return c.word(p, "protocol", "Tcp", "Udp", "All") }

// timer carries over what every rule says of silent flows.
func (c *conversion) timer(f *fields, p part, limit int) {
	if n := c.get(p, "idleTimeoutInMinutes"); n != nil {
		c.idle(f, n.path(), c.number(p, "idleTimeoutInMinutes"), limit)
	}
	f.set("enableTcpReset", c.flag(p, "enableTcpReset"))
}

func (c *conversion) outboundRule(p part) {
	var f fields
	f.set("name", p.name)
	var names []any
	left := ""
	for _, n := range c.list(p, frontends) {
		name, _ := c.follow(n, frontends)
		if c.left[strings.ToLower(name)] != "" {
			left = name
			c.warnAt(n, "not carried over: frontend %s is not", name)
		} else if name != "" {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		f.set(frontends, names)
	} else if !c.carried(p, left) {
		return
	}
	f.set("backendAddressPool", c.reference(p, "backendAddressPool", pools))
	f.set("protocol", c.protocol(p))
	f.set("allocatedOutboundPorts", c.number(p, "allocatedOutboundPorts"))
	c.timer(&f, p, maxIdleOutbound)
	c.emit(egress, f)
}

// instanceRule is the name that Azure gives the rule it makes for one instance of
// an inbound NAT pool: the pool's, a dot and the instance's number.
var instanceRule = regexp.MustCompile(`^(.+)\.[0-9]+$`)

func (c *conversion) natRule(p part) {
	if match := instanceRule.FindStringSubmatch(p.name); match != nil {
		if _, known := c.names[natPools][strings.ToLower(match[1])]; known {
			c.leave(p, "Azure made it of inboundNatPools %s, which is", match[1])
			return
		}
	}
	f, ok := c.uses(p)
	if !ok {
		return
	}
	f.set("protocol", c.protocol(p))
	if pool := c.reference(p, "backendAddressPool", pools); pool != "" {
		f.set("backendAddressPool", pool)
	} else {
		target := c.target(p)
		if target.v6 {
			c.leave(p, "its backend has an IPv6 address")
			return
		}
		f.set("backendAddress", target.address)
	}
	for _, key := range []string{"frontendPort", "frontendPortRangeStart", "frontendPortRangeEnd"} {
		if port := c.number(p, key); port != 0 { // 0 stands in the fields of the other form
			f.set(key, port)
		}
	}
	f.set("backendPort", c.number(p, "backendPort"))
	c.timer(&f, p, maxIdle)
	f.set("enableFloatingIP", c.flag(p, "enableFloatingIP"))
	c.emit(natRules, f)
}

// target is the backend of an inbound NAT rule: as the rule has it, or a network
// interface.
func (c *conversion) target(p part) member {
	if n := c.get(p, "backendIPConfiguration"); n != nil {
		return c.configuration(n)
	}
	if m, ok := c.targets[p.name]; ok {
		return m
	}
	return member{address: placeholder("backend address of %s", p.name)}
}

func (c *conversion) inboundNATPool(p part) {
	f, ok := c.uses(p)
	if !ok {
		return
	}
	pool := c.natPool[p.name]
	switch {
	case pool != "":
	case len(c.parts[pools]) == 1:
		pool = c.parts[pools][0].name
		c.warnAt(p.sources[0], "no scale set in the input says which backend pool it is for: taken as %s, every member of which gets a port", pool)
	default:
		pool = placeholder("backendAddressPool of %s", p.name)
		c.warnAt(p.sources[0], "no scale set in the input says which backend pool it is for")
	}
	f.set("backendAddressPool", pool)
	f.set("protocol", c.protocol(p))
	f.set("frontendPortRangeStart", c.number(p, "frontendPortRangeStart"))
	f.set("frontendPortRangeEnd", c.number(p, "frontendPortRangeEnd"))
	f.set("backendPort", c.number(p, "backendPort"))
	c.timer(&f, p, maxIdle)
	f.set("enableFloatingIP", c.flag(p, "enableFloatingIP"))
	c.emit(natPools, f)
}

func (c *conversion) loadBalancingRule(p part) {
	f, ok := c.uses(p)
	if !ok {
		return
	}
	f.set("backendAddressPool", c.rulePool(p))
	f.set("probe", c.reference(p, "probe", probes))
	f.set("protocol", c.protocol(p))
	f.set("frontendPort", c.number(p, "frontendPort"))
	f.set("backendPort", c.number(p, "backendPort"))
	f.set("loadDistribution", c.word(p, "loadDistribution", "Default", "SourceIP", "SourceIPProtocol"))
	c.timer(&f, p, maxIdle)
	f.set("enableFloatingIP", c.flag(p, "enableFloatingIP"))
	f.set("disableOutboundSnat", c.flag(p, "disableOutboundSnat"))
	c.emit(lbRules, f)
}

// rulePool is the pool of a load-balancing rule, which newer versions of the API
// give twice: alone, and as a list, which only the Gateway SKU fills with two.
func (c *conversion) rulePool(p part) string {
	pool := c.reference(p, "backendAddressPool", pools)
	for _, n := range c.list(p, pools) {
		name, _ := c.follow(n, pools)
		switch {
		case pool == "":
			pool = name
		case name != "" && name != pool:
			c.warnAt(n, "a rule has one pool here: %s is not carried over", name)
		}
	}
	if pool == "" {
		c.warnAt(p.sources[0], "has no backendAddressPool; write one")
		pool = placeholder("backendAddressPool of %s", p.name)
	}
	return pool
}

func (c *conversion) probe(p part) {
	var f fields
	f.set("name", p.name)
	f.set("protocol", c.word(p, "protocol", "Tcp", "Http", "Https"))
	f.set("port", c.number(p, "port"))
	f.set("requestPath", c.text(p, "requestPath"))
	f.set("intervalInSeconds", c.number(p, "intervalInSeconds"))
	f.set("numberOfProbes", c.number(p, "numberOfProbes"))
	f.set("probeThreshold", c.number(p, "probeThreshold"))
	f.set("noHealthyBackendsBehavior", c.word(p, "noHealthyBackendsBehavior", "AllProbedDown", "AllProbedUp"))
	c.emit(probes, f)
}
