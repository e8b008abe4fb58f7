package config

import "net/netip"

// Azure Resource Manager's codes for what is refused here for its reasons; they
// open the message, for those who search for them.
const (
	codeNotMultipleOfEight = "SpecifiedAllocatedOutboundPortsForOutboundRuleIsNotAMultipleOfEight"
	codeTooManyPorts       = "SpecifiedAllocatedOutboundPortsForOutboundRuleExceedsTotalNumberOfAvailablePorts"
	codeSharedFrontend     = "MoreThanOneOutboundRuleUsingSameFrontendIPConfigurationAndProtocolIsNotSupported"
)

func (v *validator) checkOutboundRules() {
	if len(v.config.OutboundRules)+len(v.config.InboundNATRules) == 0 {
		v.add("outboundRules", "at least one outbound or inbound NAT rule is needed")
	}
	names := map[string]int{}
	users := map[frontendUse]string{}
	leaving := map[Protocol]claims{ProtocolTCP: newClaims(), ProtocolUDP: newClaims()}
	for i, r := range v.config.OutboundRules {
		path := at("outboundRules", i)
		v.name("outboundRules", i, r.Name, names)
		v.outboundFrontends(path+".frontendIPConfigurations", r, users)
		if v.reference(path+".backendAddressPool", r.BackendAddressPool, "backendAddressPools", v.pools) {
			v.oneRulePerMember(path+".backendAddressPool", r, leaving)
		}
		oneOf(v, path+".protocol", r.Protocol, ProtocolTCP, ProtocolUDP, ProtocolAll)
		v.allocatedPorts(path+".allocatedOutboundPorts", v.config.Outbound(r))
		v.idle(path, r.IdleTimer, idleLimits[v.config.Profile].outbound)
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
// protocol. In leaving stand the members of the rules before r, and then r's.
func (v *validator) oneRulePerMember(path string, r OutboundRule, leaving map[Protocol]claims) {
	pool, _ := v.config.Pool(r.BackendAddressPool)
	if other, member, ok := leavesAlready(r.Protocol, pool, leaving); ok {
		v.add(path, "%s leaves by rule %s already; an address has one outbound rule per protocol", show(member), quote(other))
	}
	for _, part := range r.Protocol.parts() {
		for _, a := range pool.Addresses {
			if a.IsValid() {
				leaving[part].add(a.Prefix, r.Name)
			}
		}
	}
}

// leavesAlready returns the first members of the pool that have a rule, and the rule.
func leavesAlready(p Protocol, pool BackendAddressPool, leaving map[Protocol]claims) (rule string, members netip.Prefix, ok bool) {
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

// allocatedPorts checks that the rule's frontends have the ports that it gives
// its members. A member's ports may lie on several frontend IPs.
func (v *validator) allocatedPorts(path string, o Outbound) {
	allocated := o.AllocatedOutboundPorts
	if allocated < 0 {
		v.add(path, "%d is negative", allocated)
		return
	}
	if allocated%portBlock != 0 {
		below := allocated - allocated%portBlock
		v.add(path, "%s: %d is not a multiple of 8; use %d or %d", codeNotMultipleOfEight, allocated, below, below+portBlock)
	}
	if o.FrontendIPs() == 0 {
		return // told already, and nothing to count
	}
	taken := v.rulePorts(o.FrontendIPConfigurations)
	available := portsPerIP*o.FrontendIPs() - portBlock*taken
	members := max(o.Pool.Size(), 1)
	if o.Ports() > available/members {
		v.add(path, "%s: %d members × %d ports each exceed the %d available (64000 × %d frontend IPs − 8 × %d inbound rule ports)",
			codeTooManyPorts, members, o.Ports(), available, o.FrontendIPs(), taken)
	}
}

// rulePorts counts the ports of inbound rules on the named frontends that lie
// among those for outbound flows; each costs a block. One port for TCP and UDP
// counts once.
func (v *validator) rulePorts(frontends []string) int {
	named := map[string]bool{}
	for _, name := range frontends {
		named[name] = true
	}
	taken := map[endpoint]bool{}
	for _, r := range v.config.InboundNATRules {
		if named[r.FrontendIPConfiguration] && r.FrontendPort >= firstPort && r.FrontendPort <= lastPort {
			taken[endpoint{frontend: r.FrontendIPConfiguration, port: r.FrontendPort}] = true
		}
	}
	return len(taken)
}
