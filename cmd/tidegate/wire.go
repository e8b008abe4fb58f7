package main

import (
	"maps"
	"slices"

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
}

// poolKey is what load-balancing rules have in common that share their choice.
type poolKey struct{ pool, probe string }

// The sections of rules, as the file has them.
const (
	sectionOutboundRules      = "outboundRules"
	sectionInboundNATRules    = "inboundNatRules"
	sectionInboundNATPools    = "inboundNatPools"
	sectionLoadBalancingRules = "loadBalancingRules"
	sectionInstancePublicIPs  = "instancePublicIPs"
)

// ruleKey is what makes a rule the same one in another configuration: its name within
// its section. An outbound rule that load-balancing rules imply has the name of the
// first of them, which may go while the others stay: it is known by pool and protocol.
type ruleKey struct {
	section, name string
	pool          string          // of an implied one
	protocol      config.Protocol // likewise
}

func keyOf(o config.Outbound) ruleKey {
	if o.Implied {
		return ruleKey{section: sectionOutboundRules, pool: o.BackendAddressPool, protocol: o.Protocol}
	}
	return ruleKey{section: sectionOutboundRules, name: o.Name}
}

// newPlan plans for a gateway that starts, or for one that runs by another plan: rules
// keep their numbers for as long as it runs, since flows have them.
func newPlan(c *config.Config, before *plan) *plan {
	p := &plan{
		names: make(gateway.Names), balancing: make(map[poolKey]*nat.Pool), numbers: make(map[ruleKey]uint16),
		timers: conntrack.Timers{
			HalfOpen: c.Timers.TCPHalfOpen, FinHold: c.Timers.TCPFinHold,
			ResetHold: c.Timers.TCPResetHold, ICMP: c.Timers.ICMP, UDPOutboundOnly: !c.Timers.UDPInboundRefresh,
		},
	}
	if before != nil {
		p.inheritNumbers(before)
	}
	p.addAddresses(c)
	p.numberRules(c)
	for _, r := range c.InboundNATRules {
		p.addNATRule(c, r, p.numbers[ruleKey{section: sectionInboundNATRules, name: r.Name}])
	}
	for _, r := range c.InboundNATPools {
		p.addNATRule(c, r, p.numbers[ruleKey{section: sectionInboundNATPools, name: r.Name}])
	}
	for _, r := range c.LoadBalancingRules {
		p.addBalancing(c, r)
	}
	for _, i := range c.InstancePublicIPs {
		p.addInstance(i)
	}
	p.addOutbounds(c)
	p.addProbes(c)
	return p
}

// inheritNumbers takes every rule over as one that is gone, until it is found again.
func (p *plan) inheritNumbers(before *plan) {
	p.numbers, p.rules = maps.Clone(before.numbers), slices.Clone(before.rules)
	for i := range p.rules {
		p.rules[i].Removed = true
	}
}

func (p *plan) addProbes(c *config.Config) {
	for _, s := range c.Probes {
		p.probes = append(p.probes, probe.Spec{
			Name: s.Name, Protocol: probe.Protocol(s.Protocol), Port: uint16(s.Port), Path: s.RequestPath,
			Interval: s.Interval(), Timeout: s.Timeout(), Threshold: s.ProbeThreshold,
		})
	}
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
		p.number(ruleKey{section: sectionOutboundRules, name: r.Name}, r.Name, gateway.OutboundRule, r.IdleTimer)
	}
	for _, r := range c.InboundNATRules {
		p.number(ruleKey{section: sectionInboundNATRules, name: r.Name}, r.Name, gateway.InboundNATRule, r.IdleTimer)
	}
	for _, r := range c.InboundNATPools {
		p.number(ruleKey{section: sectionInboundNATPools, name: r.Name}, r.Name, gateway.InboundNATRule, r.IdleTimer)
	}
	for _, r := range c.LoadBalancingRules {
		rule := p.number(ruleKey{section: sectionLoadBalancingRules, name: r.Name}, r.Name, gateway.LoadBalancingRule, r.IdleTimer)
		rule.UDPIdle = c.Timers.UDPLoadBalanced
		if f, _ := c.Frontend(r.FrontendIPConfiguration); r.HAPorts() && f.Internal() {
			rule.Silent, rule.Reset, rule.Late, rule.Ask = true, false, false, false // Azure never resets there
		}
	}
	for _, i := range c.InstancePublicIPs {
		p.number(ruleKey{section: sectionInstancePublicIPs, name: i.Name}, i.Name, gateway.InstancePublicIP, i.IdleTimer)
	}
	for _, o := range c.Outbounds() {
		if o.Implied { // an outbound rule as good as any, with the name of the one that implies it
			p.number(keyOf(o), o.Name, gateway.OutboundRule, o.IdleTimer)
		}
	}
}

// number gives a rule the number that it has had, or else the next one.
func (p *plan) number(key ruleKey, name string, section gateway.RuleType, t config.IdleTimer) *gateway.Rule {
	n, known := p.numbers[key]
	if !known {
		n = uint16(len(p.rules))
		p.numbers[key] = n
		p.rules = append(p.rules, gateway.Rule{})
	}
	p.rules[n] = gateway.Rule{
		Name: name, Type: section, Idle: t.Idle(), Reset: t.EnableTCPReset, Late: t.LateReset(), Ask: t.KeepaliveBeforeReset,
	}
	return &p.rules[n]
}

// maxRules is how many numbers there are for rules.
const maxRules = 1 << 16

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
