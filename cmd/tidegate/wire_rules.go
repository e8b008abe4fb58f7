package main

import (
	"slices"

	"tidegate/config"
	"tidegate/nat"
	"tidegate/packet"
	"tidegate/probe"
)

// addOutbounds deals out what members leave by. A member that two pools would let
// out by a load-balancing rule leaves by the first.
func (p *plan) addOutbounds(c *config.Config) {
	type use struct {
		member   packet.Addr
		protocol config.Protocol
	}
	seen := make(map[use]bool)
	for _, o := range c.Outbounds() {
		r := nat.OutboundRule{
			Rule: p.numbers[keyOf(o)], Name: o.Name,
			Protocols: protocols(o.Protocol), Ports: o.Ports(),
		}
		for _, f := range o.Frontends {
			for a := range f.Addresses() {
				r.Frontends = append(r.Frontends, packet.AddrFrom(a))
			}
		}
		for a := range o.Pool.Members() {
			member := packet.AddrFrom(a)
			taken := o.Implied && seen[use{member, o.Protocol}]
			if o.Protocol.TCP() {
				seen[use{member, config.ProtocolTCP}] = true
			}
			if o.Protocol.UDP() {
				seen[use{member, config.ProtocolUDP}] = true
			}
			if !taken {
				r.Members = append(r.Members, member)
			}
		}
		p.nat.Outbound = append(p.nat.Outbound, r)
	}
}

// addNATRule adds the rule, or over a pool one for each member.
func (p *plan) addNATRule(c *config.Config, r config.InboundNATRule, number uint16) {
	f, _ := c.Frontend(r.FrontendIPConfiguration)
	in := nat.InboundRule{
		Rule: number, Name: r.Name, // a rule and a pool may share a name
		Protocol: transports(r.Protocol)[0],
		Frontend: nat.Endpoint{Addr: packet.AddrFrom(f.Prefix().Addr()), Port: uint16(r.FrontendPort)},
		Backend:  nat.Endpoint{Addr: packet.AddrFrom(r.BackendAddress), Port: uint16(r.BackendPort)},
		Floating: r.EnableFloatingIP, ACL: accessList(r.EndpointACL),
	}
	if !r.Pooled() {
		p.nat.Inbound = append(p.nat.Inbound, in)
		return
	}
	pool, _ := c.Pool(r.BackendAddressPool)
	in.Frontend.Port = uint16(r.FrontendPortRangeStart)
	for a := range pool.Members() {
		in.Backend.Addr = packet.AddrFrom(a)
		p.nat.Inbound = append(p.nat.Inbound, in)
		in.Frontend.Port++
	}
	for port := r.FrontendPortRangeStart; port <= r.FrontendPortRangeEnd; port++ {
		p.nat.Reserved = append(p.nat.Reserved, nat.Endpoint{Addr: in.Frontend.Addr, Port: uint16(port)})
	}
}

func (p *plan) addBalancing(c *config.Config, r config.LoadBalancingRule) {
	f, _ := c.Frontend(r.FrontendIPConfiguration)
	pool := p.pool(c, r)
	in := nat.InboundRule{
		Rule: p.numbers[ruleKey{section: sectionLoadBalancingRules, name: r.Name}], Name: r.Name,
		Frontend: nat.Endpoint{Addr: packet.AddrFrom(f.Prefix().Addr()), Port: uint16(r.FrontendPort)},
		Backend:  nat.Endpoint{Port: uint16(r.BackendPort)},
		Pool:     pool, Distribution: distributions[r.LoadDistribution],
		Floating: r.EnableFloatingIP, ACL: accessList(r.EndpointACL),
	}
	pool.Rules = append(pool.Rules, in.Rule)
	for _, proto := range transports(r.Protocol) {
		in.Protocol = proto
		p.nat.Inbound = append(p.nat.Inbound, in)
	}
}

var distributions = map[config.Distribution]nat.Distribution{
	config.DistributionDefault:          nat.FiveTuple,
	config.DistributionSourceIP:         nat.TwoTuple,
	config.DistributionSourceIPProtocol: nat.ThreeTuple,
}

// pool returns what the rule shares with all that have its pool and probe.
func (p *plan) pool(c *config.Config, r config.LoadBalancingRule) *nat.Pool {
	key := poolKey{r.BackendAddressPool, r.Probe}
	if known := p.balancing[key]; known != nil {
		return known
	}
	from, _ := c.Pool(r.BackendAddressPool)
	by, _ := c.Probe(r.Probe)
	pool := &nat.Pool{
		Name: key.pool, Probe: key.probe, Drain: from.Drain(),
		LastResort: by.NoHealthyBackendsBehavior == config.AllProbedUp, Backends: backends(from),
	}
	p.balancing[key] = pool
	p.pools = append(p.pools, pool)
	return pool
}

func backends(p config.BackendAddressPool) (all []nat.Backend) {
	for a, state := range p.States() {
		all = append(all, nat.Backend{Addr: packet.AddrFrom(a), Admin: adminStates[state]})
	}
	return all
}

var adminStates = map[config.AdminState]nat.AdminState{
	config.AdminNone: nat.AdminNone, config.AdminUp: nat.AdminUp, config.AdminDown: nat.AdminDown,
}

func accessList(entries []config.ACLEntry) (l nat.ACL) {
	for _, e := range entries {
		l = append(l, nat.ACLEntry{
			Order: e.Order, Permit: e.Action == config.ActionPermit,
			Network: packet.AddrFrom(e.RemoteSubnet.Addr()), Mask: ^packet.Addr(0) << (32 - e.RemoteSubnet.Bits()),
		})
	}
	slices.SortStableFunc(l, func(a, b nat.ACLEntry) int { return a.Order - b.Order })
	return l
}

func (p *plan) addInstance(i config.InstancePublicIP) {
	public := packet.AddrFrom(i.PublicIPAddress)
	p.names[public] = i.Name
	p.nat.Instances = append(p.nat.Instances, nat.Instance{
		Rule: p.numbers[ruleKey{section: sectionInstancePublicIPs, name: i.Name}], Name: i.Name,
		Public: public, Backend: packet.AddrFrom(i.BackendAddress),
	})
}

// targets returns whom the probes ask: each backend of a pool once for a probe.
func (p *plan) targets() (all []probe.Target) {
	seen := make(map[probe.Target]bool)
	for _, pool := range p.pools {
		for _, b := range pool.Backends {
			t := probe.Target{Probe: pool.Probe, Backend: b.Addr.Netip()}
			if pool.Probe != "" && !seen[t] {
				seen[t] = true
				all = append(all, t)
			}
		}
	}
	return all
}
