package main

import (
	"tidegate/config"
	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/nat"
	"tidegate/packet"
	"tidegate/probe"
)

// plan is a configuration in the words of the packages that carry it out.
type plan struct {
	rules  []gateway.Rule
	timers conntrack.Timers
	nat    nat.Rules
	pools  []*nat.Pool
	probes []probe.Spec
	names  gateway.Names

	balancing map[poolKey]*nat.Pool
	numbers   map[ruleKey]uint16
	implied   []uint16 // the numbers of the outbound rules that load-balancing rules imply, in order
}

// poolKey is what load-balancing rules have in common that share their choice.
type poolKey struct{ pool, probe string }

type ruleKey struct {
	section gateway.RuleType
	name    string
}

func newPlan(c *config.Config) *plan {
	p := &plan{
		names: make(gateway.Names), balancing: make(map[poolKey]*nat.Pool), numbers: make(map[ruleKey]uint16),
		timers: conntrack.Timers{
			HalfOpen: c.Timers.TCPHalfOpen, FinHold: c.Timers.TCPFinHold,
			ResetHold: c.Timers.TCPResetHold, ICMP: c.Timers.ICMP, UDPOutboundOnly: !c.Timers.UDPInboundRefresh,
		},
	}
	p.addAddresses(c)
	p.numberRules(c)
	for i, r := range c.NATRules() {
		p.addNATRule(c, r, uint16(len(c.OutboundRules)+i))
	}
	for _, r := range c.LoadBalancingRules {
		p.addBalancing(c, r)
	}
	for _, i := range c.InstancePublicIPs {
		p.addInstance(i)
	}
	p.addOutbounds(c)
	for _, s := range c.Probes {
		p.probes = append(p.probes, probe.Spec{
			Name: s.Name, Protocol: probe.Protocol(s.Protocol), Port: uint16(s.Port), Path: s.RequestPath,
			Interval: s.Interval(), Timeout: s.Timeout(), Threshold: s.ProbeThreshold,
		})
	}
	return p
}

func (p *plan) addAddresses(c *config.Config) {
	for _, f := range c.FrontendIPConfigurations {
		for a := range f.Addresses() {
			p.names[packet.AddrFrom(a)] = f.Name
			if f.Internal() {
				p.nat.Internal = append(p.nat.Internal, packet.AddrFrom(a))
			} else {
				p.nat.Frontends = append(p.nat.Frontends, packet.AddrFrom(a))
			}
		}
	}
	for _, pool := range c.BackendAddressPools {
		for a := range pool.Members() {
			p.nat.Members = append(p.nat.Members, packet.AddrFrom(a))
		}
	}
}

// numberRules numbers all rules in the order in which users find them in the
// contract's sections.
func (p *plan) numberRules(c *config.Config) {
	for _, r := range c.OutboundRules {
		p.number(r.Name, gateway.OutboundRule, r.IdleTimer)
	}
	for _, r := range c.NATRules() {
		p.number(r.Name, gateway.InboundNATRule, r.IdleTimer)
	}
	for _, r := range c.LoadBalancingRules {
		rule := p.number(r.Name, gateway.LoadBalancingRule, r.IdleTimer)
		rule.UDPIdle = c.Timers.UDPLoadBalanced
		if f, _ := c.Frontend(r.FrontendIPConfiguration); r.HAPorts() && f.Internal() {
			rule.Silent, rule.Reset, rule.Late, rule.Ask = true, false, false, false // Azure never resets there
		}
	}
	for _, i := range c.InstancePublicIPs {
		p.number(i.Name, gateway.InstancePublicIP, i.IdleTimer)
	}
	for _, o := range c.Outbounds() {
		if o.Implied { // an outbound rule as good as any, with the name of the one that implies it
			p.implied = append(p.implied, uint16(len(p.rules)))
			p.append(o.Name, gateway.OutboundRule, o.IdleTimer)
		}
	}
}

func (p *plan) number(name string, section gateway.RuleType, t config.IdleTimer) *gateway.Rule {
	p.numbers[ruleKey{section, name}] = uint16(len(p.rules))
	return p.append(name, section, t)
}

func (p *plan) append(name string, section gateway.RuleType, t config.IdleTimer) *gateway.Rule {
	p.rules = append(p.rules, gateway.Rule{
		Name: name, Type: section, Idle: t.Idle(), Reset: t.EnableTCPReset, Late: t.LateReset(), Ask: t.KeepaliveBeforeReset,
	})
	return &p.rules[len(p.rules)-1]
}

// protocols: a rule for all of them lets pings out too; Azure knows no ICMP rule.
func protocols(p config.Protocol) (all []packet.Protocol) {
	all = transports(p)
	if p == config.ProtocolAll {
		all = append(all, packet.ICMP)
	}
	return all
}

// transports are the protocols with ports.
func transports(p config.Protocol) (all []packet.Protocol) {
	if p.TCP() {
		all = append(all, packet.TCP)
	}
	if p.UDP() {
		all = append(all, packet.UDP)
	}
	return all
}
