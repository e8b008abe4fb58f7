package config

// widestFrontend bounds a frontend prefix: a /16 is 65,536 addresses with four
// billion ports. Shorter ones are typing errors that would exhaust memory.
const widestFrontend = 16

// mostMembers bounds a pool: as many as the widest frontend could serve with 64,000
// ports each. Azure's pools end at 5,000.
const mostMembers = 1 << 16

func (v *validator) checkFrontends() {
	if len(v.config.FrontendIPConfigurations) == 0 {
		v.add("frontendIPConfigurations", "at least one frontend is needed")
	}
	for i, f := range v.config.FrontendIPConfigurations {
		v.name("frontendIPConfigurations", i, f.Name, v.frontends)
		v.frontend(at("frontendIPConfigurations", i), f)
	}
}

func (v *validator) frontend(path string, f FrontendIPConfiguration) {
	address, prefix := f.PublicIPAddress.IsValid(), f.PublicIPPrefix.IsValid()
	if address == prefix {
		v.add(path, "needs exactly one of publicIPAddress and publicIPPrefix")
		return
	}
	if path += ".publicIPAddress"; prefix {
		path = path[:len(path)-len("Address")] + "Prefix"
	}
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
		v.members(at("backendAddressPools", i)+".addresses", p)
	}
}

// members checks a pool by itself; that pools share addresses is Azure's usage
// and fine until two outbound rules claim one.
func (v *validator) members(path string, p BackendAddressPool) {
	inPool := newClaims()
	for i, a := range p.Addresses {
		if !a.IsValid() {
			continue // not decoded, and told
		}
		if other, ok := inPool.overlap(a.Prefix); ok {
			v.add(at(path, i), "%s overlaps %s of the same pool", a, show(other.prefix))
		}
		if other, ok := v.owned.overlap(a.Prefix); ok {
			v.add(at(path, i), "%s overlaps %s of frontend %s", a, show(other.prefix), quote(other.owner))
		}
		inPool.add(a.Prefix, p.Name)
	}
	if n := p.Size(); n > mostMembers {
		v.add(path, "%d addresses are more than the %d that a pool may have", n, mostMembers)
	}
}
