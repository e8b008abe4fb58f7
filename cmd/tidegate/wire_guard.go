package main

import (
	"maps"
	"net/netip"
	"slices"

	"tidegate/config"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
)

// need is what a rule has of some frontend addresses, which the host's own stack must
// keep its hands off.
type need struct {
	rule      uint16
	addresses netip.Prefix
	all       bool          // as of nexthop.Guarded
	outbound  bool          // as of nexthop.Guarded
	port      nexthop.Ports // the rule's own; the zero Ports is none
}

// needs returns what the rules of a plan need.
func (p *plan) needs(c *config.Config) (all []need) {
	for _, f := range c.FrontendIPConfigurations {
		first := packet.AddrFrom(f.Prefix().Addr())
		for _, r := range p.nat.Outbound {
			if slices.Contains(r.Frontends, first) {
				all = append(all, need{rule: r.Rule, addresses: f.Prefix(), outbound: true})
			}
		}
		for _, r := range p.nat.Inbound {
			if r.Frontend.Addr == first { // an inbound rule's frontend has one address
				all = append(all, need{r.Rule, f.Prefix(), r.Frontend.Port == 0, f.Internal(), // its ports for hairpin flows are the same
					nexthop.Ports{Protocol: r.Protocol, First: r.Frontend.Port, Last: r.Frontend.Port}})
			}
		}
	}
	for _, i := range p.nat.Instances {
		all = append(all, need{rule: i.Rule, addresses: netip.PrefixFrom(i.Public.Netip(), 32), all: true})
	}
	return all
}

// guard says what the host's own stack must keep its hands off.
func guard(c *config.Config, needs []need) nexthop.GuardOptions {
	o := nexthop.GuardOptions{Inside: c.Gateway.Inside.Name, Outside: c.Gateway.Outside.Name}
	index := make(map[netip.Prefix]int)
	of := func(addresses netip.Prefix) *nexthop.Guarded {
		i, there := index[addresses]
		if !there {
			i = len(o.Frontends)
			index[addresses] = i
			o.Frontends = append(o.Frontends, nexthop.Guarded{Addresses: addresses})
		}
		return &o.Frontends[i]
	}
	for _, f := range c.FrontendIPConfigurations {
		of(f.Prefix())
	}
	for _, n := range needs {
		g := of(n.addresses)
		g.All, g.Outbound = g.All || n.all, g.Outbound || n.outbound
		if n.port != (nexthop.Ports{}) {
			g.Inbound = append(g.Inbound, n.port,
				nexthop.Ports{Protocol: packet.TCP, First: nat.FirstHairpinPort, Last: nat.LastHairpinPort},
				nexthop.Ports{Protocol: packet.UDP, First: nat.FirstHairpinPort, Last: nat.LastHairpinPort})
		}
	}
	return o
}

// needsStill adds to the needs of a plan those of all before it that flows may have yet:
// a flow may be as old as its rule, and older than several changes of it. The result is
// no longer than there are rules and ports that they have had.
func (p *plan) needsStill(c *config.Config, before []need) []need {
	addresses, all := make(map[netip.Prefix]bool), make(map[need]bool)
	for _, f := range c.FrontendIPConfigurations { // one may have no rule now
		addresses[f.Prefix()] = true
	}
	for _, n := range p.needs(c) {
		addresses[n.addresses], all[n] = true, true
	}
	for _, n := range before {
		if addresses[n.addresses] && !p.rules[n.rule].Removed {
			all[n] = true
		}
	}
	return slices.Collect(maps.Keys(all))
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
