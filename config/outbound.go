package config

import "slices"

// Ports of one frontend IP and protocol, from Azure Load Balancer's page on
// outbound connections: 1024–65023, given out in blocks.
const (
	portsPerIP  = 64000
	portBlock   = 8
	firstPort   = 1024
	lastPort    = firstPort + portsPerIP - 1
	mostDefault = 1024 // ports that a member gets at most where the rule leaves it to the table
)

// Outbound is an outbound rule with its references followed.
type Outbound struct {
	OutboundRule
	Pool      BackendAddressPool
	Frontends []FrontendIPConfiguration // in the rule's order
	Implied   bool                      // by load-balancing rules, the first of which gave its Name and IdleTimer
	by        int                       // where Implied, that one's index
}

// Outbounds returns the outbound rules in force: those given, then those that
// load-balancing rules without disableOutboundSnat on public frontends imply, as
// in Azure. There is one of these for each pool and protocol, over the frontends
// of all such rules, unless an outbound rule lets the pool out for that protocol.
// A rule for Tcp gives TCP ports only, one for Udp only UDP's. A member of two
// pools leaves by the first rule that lets it out.
func (c *Config) Outbounds() []Outbound {
	var all []Outbound
	named := c.lookup()
	given := map[poolUse]bool{}
	for _, r := range c.OutboundRules {
		all = append(all, named.outbound(r))
		for _, part := range r.Protocol.parts() {
			given[poolUse{r.BackendAddressPool, part}] = true
		}
	}
	for _, o := range named.implied() {
		if !given[poolUse{o.BackendAddressPool, o.Protocol}] {
			all = append(all, o)
		}
	}
	return all
}

// poolUse is what at most one outbound rule is for.
type poolUse struct {
	pool     string
	protocol Protocol // ProtocolTCP or ProtocolUDP
}

// implied makes outbound rules of load-balancing rules.
func (l lookup) implied() []Outbound {
	var all []Outbound
	known := map[poolUse]int{}
	for i, lb := range l.config.LoadBalancingRules {
		f, _ := l.frontend(lb.FrontendIPConfiguration)
		if lb.DisableOutboundSnat || !f.public() {
			continue
		}
		for _, part := range lb.Protocol.parts() {
			at, ok := known[poolUse{lb.BackendAddressPool, part}]
			if !ok {
				at = len(all)
				known[poolUse{lb.BackendAddressPool, part}] = at
				rule := OutboundRule{Name: lb.Name, BackendAddressPool: lb.BackendAddressPool, Protocol: part, IdleTimer: lb.IdleTimer}
				all = append(all, l.outbound(rule))
				all[at].Implied, all[at].by = true, i
			}
			all[at].addFrontend(f)
		}
	}
	return all
}

func (o *Outbound) addFrontend(f FrontendIPConfiguration) {
	if !slices.Contains(o.FrontendIPConfigurations, f.Name) {
		o.FrontendIPConfigurations = append(o.FrontendIPConfigurations, f.Name)
		o.Frontends = append(o.Frontends, f)
	}
}

// Outbound follows the references of r, a rule of c.
func (c *Config) Outbound(r OutboundRule) Outbound { return c.lookup().outbound(r) }

// Frontend returns the frontend of that name.
func (c *Config) Frontend(name string) (FrontendIPConfiguration, bool) {
	for _, f := range c.FrontendIPConfigurations {
		if f.Name == name {
			return f, true
		}
	}
	return FrontendIPConfiguration{}, false
}

// Pool returns the pool of that name.
func (c *Config) Pool(name string) (BackendAddressPool, bool) {
	for _, p := range c.BackendAddressPools {
		if p.Name == name {
			return p, true
		}
	}
	return BackendAddressPool{}, false
}

// FrontendIPs returns how many addresses the rule's frontends have together.
func (o Outbound) FrontendIPs() int {
	n := 0
	for _, f := range o.Frontends {
		n += f.Size()
	}
	return n
}

// Ports returns how many ports each member owns, per protocol and over all the
// rule's frontend IPs: what the rule allocates, or with 0 Azure's default,
// min(table × frontend IPs, 1024).
func (o Outbound) Ports() int {
	if o.AllocatedOutboundPorts != 0 {
		return o.AllocatedOutboundPorts
	}
	return min(defaultPorts(o.Pool.Size())*o.FrontendIPs(), mostDefault)
}

// defaultPorts is Azure's table of preallocated ports per member and frontend
// IP. Azure says nothing beyond 1,000 members; here the last row goes on.
func defaultPorts(members int) int {
	table := []struct{ members, ports int }{
		{50, 1024}, {100, 512}, {200, 256}, {400, 128}, {800, 64},
	}
	for _, row := range table {
		if members <= row.members {
			return row.ports
		}
	}
	return 32
}
