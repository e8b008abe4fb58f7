package main

import (
	"net/netip"
	"slices"

	"tidegate/config"
	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
)

// plan is a configuration in the words of the packages that carry it out.
type plan struct {
	rules     []gateway.Rule
	timers    conntrack.Timers
	frontends []packet.Addr
	members   []packet.Addr // of all pools
	outbound  []nat.OutboundRule
	inbound   []nat.InboundRule
	names     map[packet.Addr]string // of frontends
}

func newPlan(c *config.Config) *plan {
	p := &plan{
		names: make(map[packet.Addr]string),
		timers: conntrack.Timers{
			HalfOpen: c.Timers.TCPHalfOpen, FinHold: c.Timers.TCPFinHold,
			ResetHold: c.Timers.TCPResetHold, ICMP: c.Timers.ICMP,
		},
	}
	for _, f := range c.FrontendIPConfigurations {
		for a := range f.Addresses() {
			p.frontends = append(p.frontends, packet.AddrFrom(a))
			p.names[packet.AddrFrom(a)] = f.Name
		}
	}
	for _, pool := range c.BackendAddressPools {
		for a := range pool.Members() {
			p.members = append(p.members, packet.AddrFrom(a))
		}
	}
	for _, r := range c.OutboundRules {
		p.addOutbound(c.Outbound(r))
	}
	for _, r := range c.InboundNATRules {
		p.addInbound(c, r)
	}
	return p
}

// rule numbers a rule.
func (p *plan) rule(name string, t gateway.RuleType, idle config.IdleTimer) uint16 {
	p.rules = append(p.rules, gateway.Rule{Name: name, Type: t, Idle: idle.Idle(), Reset: idle.EnableTCPReset})
	return uint16(len(p.rules) - 1)
}

func (p *plan) addOutbound(o config.Outbound) {
	r := nat.OutboundRule{
		Rule: p.rule(o.Name, gateway.OutboundRule, o.IdleTimer), Name: o.Name,
		Protocols: protocols(o.Protocol), Ports: o.Ports(),
	}
	for _, f := range o.Frontends {
		for a := range f.Addresses() {
			r.Frontends = append(r.Frontends, packet.AddrFrom(a))
		}
	}
	for a := range o.Pool.Members() {
		r.Members = append(r.Members, packet.AddrFrom(a))
	}
	p.outbound = append(p.outbound, r)
}

func (p *plan) addInbound(c *config.Config, r config.InboundNATRule) {
	f, _ := c.Frontend(r.FrontendIPConfiguration)
	p.inbound = append(p.inbound, nat.InboundRule{
		Rule: p.rule(r.Name, gateway.InboundNATRule, r.IdleTimer), Name: r.Name,
		Protocol: protocols(r.Protocol)[0],
		Frontend: nat.Endpoint{Addr: packet.AddrFrom(f.Prefix().Addr()), Port: uint16(r.FrontendPort)},
		Backend:  nat.Endpoint{Addr: packet.AddrFrom(r.BackendAddress), Port: uint16(r.BackendPort)},
	})
}

// protocols: a rule for all of them lets pings out too; Azure knows no ICMP rule.
func protocols(p config.Protocol) (all []packet.Protocol) {
	if p.TCP() {
		all = append(all, packet.TCP)
	}
	if p.UDP() {
		all = append(all, packet.UDP)
	}
	if p == config.ProtocolAll {
		all = append(all, packet.ICMP)
	}
	return all
}

// guard says what the host's own stack must keep its hands off.
func (p *plan) guard(c *config.Config) nexthop.GuardOptions {
	o := nexthop.GuardOptions{Inside: c.Gateway.Inside.Name, Outside: c.Gateway.Outside.Name}
	for _, f := range prefixes(c) {
		first := packet.AddrFrom(f.Addr())
		g := nexthop.Guarded{Addresses: f}
		for _, r := range p.outbound {
			g.Outbound = g.Outbound || slices.Contains(r.Frontends, first)
		}
		for _, r := range p.inbound {
			if r.Frontend.Addr == first { // an inbound rule's frontend has one address
				g.Inbound = append(g.Inbound, nexthop.Ports{Protocol: r.Protocol, First: r.Frontend.Port, Last: r.Frontend.Port})
			}
		}
		o.Frontends = append(o.Frontends, g)
	}
	return o
}

// prefixes returns the frontends' addresses as the file gives them.
func prefixes(c *config.Config) (all []netip.Prefix) {
	for _, f := range c.FrontendIPConfigurations {
		all = append(all, f.Prefix())
	}
	return all
}
