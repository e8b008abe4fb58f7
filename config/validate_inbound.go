package config

func (v *validator) checkNATRules(section string, rules []InboundNATRule) {
	names := map[string]int{}
	for i, r := range rules {
		path := at(section, i)
		v.name(section, i, r.Name, names)
		if r.Protocol == ProtocolAll {
			v.add(path+".protocol", "All has no single port; use Tcp or Udp")
		} else {
			oneOf(v, path+".protocol", r.Protocol, ProtocolTCP, ProtocolUDP)
		}
		v.idle(path, r.IdleTimer, r.Protocol, idleLimits[v.config.Profile].inbound)
		v.floatingIP(path, r.EnableFloatingIP)
		v.acl(path+".endpointACL", r.EndpointACL)
		if r.Pooled() || section == "inboundNatPools" || r.ranged() && !r.BackendAddress.IsValid() {
			v.pooledNAT(path, r)
		} else {
			v.singleNAT(path, r)
		}
		v.between(path+".backendPort", r.BackendPort, 1, 65535)
	}
}

// ranged reports whether a range of ports was given, for a pool or in error.
func (r InboundNATRule) ranged() bool {
	return r.FrontendPortRangeStart != 0 || r.FrontendPortRangeEnd != 0
}

// singleNAT checks where a rule to one backend listens and leads.
func (v *validator) singleNAT(path string, r InboundNATRule) {
	if r.ranged() {
		v.add(path+".frontendPortRangeStart", "a range is for a rule with backendAddressPool; with backendAddress use frontendPort")
	}
	ok := v.between(path+".frontendPort", r.FrontendPort, 1, 65534)
	if v.oneAddress(path, r.FrontendIPConfiguration, "an inbound NAT rule") && ok {
		v.listen(path+".frontendPort", r.FrontendIPConfiguration, r.Protocol, r.listener())
	}
	if !r.BackendAddress.IsValid() {
		v.add(path+".backendAddress", "is required, or backendAddressPool with a range of frontend ports")
		return
	}
	if other, ok := v.owned.overlap(single(r.BackendAddress)); ok {
		v.add(path+".backendAddress", "%s belongs to frontend %s", r.BackendAddress, quote(other.owner))
	}
}

// pooledNAT checks the same of a rule over a pool.
func (v *validator) pooledNAT(path string, r InboundNATRule) {
	if r.BackendAddress.IsValid() {
		v.add(path+".backendAddress", "a rule over a pool has no single backend; keep backendAddress or backendAddressPool")
	}
	if r.FrontendPort != 0 {
		v.add(path+".frontendPort", "a rule over a pool has frontendPortRangeStart and frontendPortRangeEnd instead")
	}
	pool := v.reference(path+".backendAddressPool", r.BackendAddressPool, "backendAddressPools", v.pools)
	frontend := v.oneAddress(path, r.FrontendIPConfiguration, "an inbound NAT rule")
	if !v.portRange(path, r) {
		return
	}
	if frontend {
		v.listen(path+".frontendPortRangeStart", r.FrontendIPConfiguration, r.Protocol, r.listener())
	}
	ports := r.FrontendPortRangeEnd - r.FrontendPortRangeStart + 1
	if p, _ := v.named.pool(r.BackendAddressPool); pool && p.Size() > ports {
		v.add(path+".frontendPortRangeEnd", "%d–%d are %d ports for the %d members of %s: %d are missing",
			r.FrontendPortRangeStart, r.FrontendPortRangeEnd, ports, p.Size(), quote(p.Name), p.Size()-ports)
	}
}

// portRange checks the ends of the range.
func (v *validator) portRange(path string, r InboundNATRule) bool {
	start := v.between(path+".frontendPortRangeStart", r.FrontendPortRangeStart, 1, 65534)
	end := v.between(path+".frontendPortRangeEnd", r.FrontendPortRangeEnd, 1, 65535)
	if start && end && r.FrontendPortRangeEnd < r.FrontendPortRangeStart {
		v.add(path+".frontendPortRangeEnd", "%d is before frontendPortRangeStart, %d", r.FrontendPortRangeEnd, r.FrontendPortRangeStart)
		return false
	}
	return start && end
}
