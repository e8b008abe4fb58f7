package config

import "strings"

// widestFrontend bounds a frontend prefix: a /16 is 65,536 addresses with four
// billion ports. Shorter ones are typing errors that would exhaust memory.
const widestFrontend = 16

// mostMembers bounds a pool: as many as the widest frontend could serve with 64,000
// ports each. Azure's pools end at 5,000.
const mostMembers = 1 << 16

// longestDrain is a day, in seconds: as long as any wait here. Azure's schema
// has no bound.
const longestDrain = 24 * 60 * 60

func (v *validator) checkFrontends() {
	if len(v.config.FrontendIPConfigurations) == 0 {
		v.noFrontend()
	}
	for i, f := range v.config.FrontendIPConfigurations {
		v.name("frontendIPConfigurations", i, f.Name, v.frontends)
		v.frontend(at("frontendIPConfigurations", i), f)
	}
}

// noFrontend tells that one is needed, unless there are only instance-level
// addresses, which need none.
func (v *validator) noFrontend() {
	c := v.config
	var orphans []string
	for _, section := range []struct {
		name string
		size int
	}{
		{"backendAddressPools", len(c.BackendAddressPools)}, {"outboundRules", len(c.OutboundRules)},
		{"inboundNatRules", len(c.InboundNATRules)}, {"inboundNatPools", len(c.InboundNATPools)},
		{"loadBalancingRules", len(c.LoadBalancingRules)}, {"probes", len(c.Probes)},
	} {
		if section.size > 0 {
			orphans = append(orphans, section.name)
		}
	}
	switch {
	case len(orphans) > 0:
		v.add("frontendIPConfigurations", "%s: at least one frontend is needed for %s", codeNoFrontend, strings.Join(orphans, ", "))
	case len(c.InstancePublicIPs) == 0:
		v.add("frontendIPConfigurations", "at least one frontend is needed")
	}
}

func (v *validator) frontend(path string, f FrontendIPConfiguration) {
	var given []string
	for key, ok := range map[string]bool{
		"publicIPAddress": f.PublicIPAddress.IsValid(), "publicIPPrefix": f.PublicIPPrefix.IsValid(),
		"privateIPAddress": f.PrivateIPAddress.IsValid(),
	} {
		if ok {
			given = append(given, key)
		}
	}
	if len(given) != 1 {
		v.add(path, "needs exactly one of publicIPAddress, publicIPPrefix and privateIPAddress")
		return
	}
	path = join(path, given[0])
	owned := f.Prefix()
	if owned.Bits() < widestFrontend {
		v.add(path, "%s is wider than a /%d", owned, widestFrontend)
	}
	if other, ok := v.owned.overlap(owned); ok {
		v.add(path, "%s overlaps %s of frontend %s", show(owned), show(other.prefix), quote(other.owner))
	}
	v.owned.add(owned, f.Name)
}

func (v *validator) checkPools() {
	for i, p := range v.config.BackendAddressPools {
		v.name("backendAddressPools", i, p.Name, v.pools)
		v.poolMembers(at("backendAddressPools", i)+".addresses", p)
		v.between(at("backendAddressPools", i)+".drainPeriodInSeconds", p.DrainPeriodInSeconds, 0, longestDrain)
	}
}

// poolMembers checks a pool by itself; that pools share addresses is Azure's usage
// and fine until two outbound rules claim one.
func (v *validator) poolMembers(path string, p BackendAddressPool) {
	inPool := newClaims()
	for i, a := range p.Addresses {
		oneOf(v, at(path, i)+".adminState", a.AdminState, AdminNone, AdminUp, AdminDown)
		if !a.IsValid() {
			v.add(at(path, i)+".ipAddress", "is required")
			continue
		}
		if other, ok := inPool.overlap(a.Prefix); ok {
			v.add(at(path, i), "%s overlaps %s of the same pool", a, show(other.prefix))
		}
		if other, ok := v.owned.overlap(a.Prefix); ok {
			v.add(at(path, i), "%s overlaps %s of frontend %s", a, show(other.prefix), quote(other.owner))
		}
		inPool.add(a.Prefix, p.Name)
		v.members.add(a.Prefix, p.Name)
	}
	if n := p.Size(); n > mostMembers {
		v.add(path, "%d addresses are more than the %d that a pool may have", n, mostMembers)
	}
}
