package azure

import (
	"fmt"
	"strings"
)

// endpointList carries over the service management API's endpoints. Those with a
// LoadBalancedEndpointSetName are shares of a load-balanced set, the others lead
// to one virtual machine.
func (c *classic) endpointList(root *xmlNode) {
	if strings.EqualFold(root.name, "InputEndpoint") || strings.EqualFold(root.name, "LoadBalancedEndpointSet") {
		c.listed(root, 1)
		return
	}
	all := append(root.children("InputEndpoint"), root.children("LoadBalancedEndpointSet")...)
	for i, n := range all {
		c.listed(n, i+1)
	}
	if len(all) == 0 {
		c.fault(root, "there is no InputEndpoint in it")
	}
}

func (c *classic) listed(n *xmlNode, number int) {
	frontend := c.listedFrontend(n)
	set := n.value("LoadBalancedEndpointSetName")
	name := n.value("Name")
	switch {
	case set != "":
		c.endpointSet(n, set, frontend)
		return
	case name == "":
		name = fmt.Sprintf("endpoint-%d", number)
	}
	f := fields{{"name", name}, {"frontendIPConfiguration", frontend}}
	f.set("protocol", c.protocol(n))
	f.set("frontendPort", c.number(n, "Port"))
	f.set("backendAddress", placeholder("address of the machine with endpoint %s", name))
	f.set("backendPort", c.number(n, "LocalPort"))
	c.rest(&f, n, n.child("EndpointAcl").child("Rules").children("Rule"))
	c.emit(natRules, f)
}

// listedFrontend is the endpoint's address: that of an internal load balancer it
// names, or the cloud service's public one.
func (c *classic) listedFrontend(n *xmlNode) string {
	vip, internal := n.value("Vip"), n.value("LoadBalancerName")
	switch {
	case internal != "" && vip == "":
		return c.frontend(internal, "privateIPAddress", placeholder("privateIPAddress of %s", internal))
	case internal != "":
		return c.frontend(internal, "privateIPAddress", vip)
	case vip == "":
		return c.frontend("vip", "publicIPAddress", placeholder("publicIPAddress of the cloud service"))
	}
	return c.frontend("vip-"+vip, "publicIPAddress", vip)
}

// endpointSet is a load-balanced set. Every member lists the set again: it is
// carried over once.
func (c *classic) endpointSet(n *xmlNode, set, frontend string) {
	f := fields{{"name", set}, {"frontendIPConfiguration", frontend}, {"backendAddressPool", set}}
	if probe := n.child("LoadBalancerProbe"); probe != nil && !probe.empty() {
		f.set("probe", set)
		port := c.number(probe, "Port")
		if port == nil {
			port = c.number(n, "LocalPort")
		}
		c.probe(set, probe, port)
	}
	f.set("protocol", c.protocol(n))
	f.set("frontendPort", c.number(n, "Port"))
	f.set("backendPort", c.number(n, "LocalPort"))
	c.rest(&f, n, n.child("EndpointAcl").child("Rules").children("Rule"))
	for _, known := range c.section[lbRules] {
		if known[0].value == set {
			if fmt.Sprint(known) != fmt.Sprint(f) {
				c.warnAt(n, "set %s says something else before, which is carried over", set)
			}
			return
		}
	}
	c.emit(pools, fields{{"name", set}, {"addresses", []any{placeholder("addresses of the machines in %s", set)}}})
	c.emit(lbRules, f)
}
