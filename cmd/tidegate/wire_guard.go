package main

import (
	"net/netip"
	"slices"

	"tidegate/config"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
)

// guard says what the host's own stack must keep its hands off: of frontends what
// belongs to rules that stand.
func (p *plan) guard(c *config.Config, stands func(rule uint16) bool) nexthop.GuardOptions {
	o := nexthop.GuardOptions{Inside: c.Gateway.Inside.Name, Outside: c.Gateway.Outside.Name}
	for _, f := range c.FrontendIPConfigurations {
		o.Frontends = append(o.Frontends, p.guarded(f, stands))
	}
	for _, i := range p.nat.Instances {
		if stands(i.Rule) {
			o.Frontends = append(o.Frontends, nexthop.Guarded{Addresses: netip.PrefixFrom(i.Public.Netip(), 32), All: true})
		}
	}
	return o
}

func every(uint16) bool { return true }

func (p *plan) guarded(f config.FrontendIPConfiguration, stands func(rule uint16) bool) nexthop.Guarded {
	first := packet.AddrFrom(f.Prefix().Addr())
	g := nexthop.Guarded{Addresses: f.Prefix()}
	for _, r := range p.nat.Outbound {
		g.Outbound = g.Outbound || stands(r.Rule) && slices.Contains(r.Frontends, first)
	}
	for _, r := range p.nat.Inbound {
		if r.Frontend.Addr != first || !stands(r.Rule) { // an inbound rule's frontend has one address
			continue
		}
		g.All = g.All || r.Frontend.Port == 0
		g.Outbound = g.Outbound || f.Internal() // its ports for hairpin flows are the same
		g.Inbound = append(g.Inbound,
			nexthop.Ports{Protocol: r.Protocol, First: r.Frontend.Port, Last: r.Frontend.Port},
			nexthop.Ports{Protocol: packet.TCP, First: nat.FirstHairpinPort, Last: nat.LastHairpinPort},
			nexthop.Ports{Protocol: packet.UDP, First: nat.FirstHairpinPort, Last: nat.LastHairpinPort})
	}
	return g
}

// guardBoth guards what one plan needs, and of the one before it what flows of rules
// that still stand may need yet.
func guardBoth(now, was *inForce) nexthop.GuardOptions {
	o := now.plan.guard(now.config, every)
	still := func(rule uint16) bool { return !now.plan.rules[rule].Removed }
	for _, g := range was.plan.guard(was.config, still).Frontends {
		if slices.ContainsFunc(o.Frontends, func(f nexthop.Guarded) bool { return f.Addresses == g.Addresses }) {
			o.Frontends = append(o.Frontends, g)
		}
	}
	return o
}

// answered returns the addresses that are answered for on a side, as the file
// gives them.
func answered(c *config.Config, side nexthop.Side) (all []netip.Prefix) {
	for _, f := range c.FrontendIPConfigurations {
		if f.Internal() == (side == nexthop.Inside) {
			all = append(all, f.Prefix())
		}
	}
	if side == nexthop.Inside {
		return all
	}
	for _, i := range c.InstancePublicIPs {
		all = append(all, netip.PrefixFrom(i.PublicIPAddress, 32))
	}
	return all
}
