package config

import "net/netip"

func (v *validator) checkOutboundRules() {
	c := v.config
	if len(c.OutboundRules)+len(c.NATRules())+len(c.LoadBalancingRules)+len(c.InstancePublicIPs) == 0 {
		v.add("outboundRules", "at least one rule is needed: here, in inboundNatRules, loadBalancingRules or instancePublicIPs")
	}
	names := map[string]int{}
	users := map[frontendUse]string{}
	for i, r := range c.OutboundRules {
		path := at("outboundRules", i)
		v.name("outboundRules", i, r.Name, names)
		v.outboundFrontends(path+".frontendIPConfigurations", r, users)
		if v.reference(path+".backendAddressPool", r.BackendAddressPool, "backendAddressPools", v.pools) {
			v.oneRulePerMember(path+".backendAddressPool", r)
		}
		oneOf(v, path+".protocol", r.Protocol, ProtocolTCP, ProtocolUDP, ProtocolAll)
		v.allocatedPorts(path+".allocatedOutboundPorts", v.named.outbound(r))
		v.idle(path, r.IdleTimer, r.Protocol, idleLimits[c.Profile].outbound)
	}
}

// frontendUse is what one outbound rule at most may have.
type frontendUse struct {
	frontend string
	protocol Protocol // ProtocolTCP or ProtocolUDP
}

// outboundFrontends checks the frontends of r. In users stand the rules before
// it, and then r.
func (v *validator) outboundFrontends(path string, r OutboundRule, users map[frontendUse]string) {
	if len(r.FrontendIPConfigurations) == 0 {
		v.add(path, "at least one frontend is needed")
	}
	seen := map[string]int{}
	for i, name := range r.FrontendIPConfigurations {
		first, twice := seen[name]
		switch {
		case !v.reference(at(path, i), name, "frontendIPConfigurations", v.frontends):
		case twice:
			v.add(at(path, i), "%s is %s already", quote(name), at("frontendIPConfigurations", first))
		case v.config.FrontendIPConfigurations[v.frontends[name]].Internal():
			v.add(at(path, i), "%s is internal; an outbound rule needs public frontends", quote(name))
		default:
			seen[name] = i
			v.useFrontend(at(path, i), name, r, users)
		}
	}
}

// useFrontend gives r the frontend, or tells who has it.
func (v *validator) useFrontend(path, frontend string, r OutboundRule, users map[frontendUse]string) {
	told := false
	for _, part := range r.Protocol.parts() {
		use := frontendUse{frontend, part}
		other, taken := users[use]
		if taken && !told {
			v.add(path, "%s: rule %s has %s for %s already", codeSharedFrontend, quote(other), quote(frontend), part)
			told = true
		}
		if !taken {
			users[use] = r.Name
		}
	}
}

// oneRulePerMember lets an address leave by one rule only, protocol by
// protocol. In v.leaving stand the members of the rules before r, and then r's.
func (v *validator) oneRulePerMember(path string, r OutboundRule) {
	pool, _ := v.named.pool(r.BackendAddressPool)
	if other, member, ok := leavesAlready(r.Protocol, pool, v.leaving); ok {
		v.add(path, "%s leaves by rule %s already; an address has one outbound rule per protocol", show(member), quote(other))
	}
	for _, part := range r.Protocol.parts() {
		for _, a := range pool.Addresses {
			if a.IsValid() {
				v.leaving[part].add(a.Prefix, r.Name)
			}
		}
	}
}

// leavesAlready returns the first members of the pool that have a rule, and the rule.
func leavesAlready(p Protocol, pool BackendAddressPool, leaving map[Protocol]*claims) (rule string, members netip.Prefix, ok bool) {
	for _, a := range pool.Addresses {
		for _, part := range p.parts() {
			other, ok := leaving[part].overlap(a.Prefix)
			if ok && other.prefix.Bits() > a.Bits() {
				return other.owner, other.prefix, true
			}
			if ok {
				return other.owner, a.Prefix, true
			}
		}
	}
	return "", netip.Prefix{}, false
}
