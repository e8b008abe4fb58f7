package config

import "slices"

// backendUse is what one load-balancing rule without floating IP at most may
// lead to: the backend could not tell two apart.
type backendUse struct {
	pool     string
	protocol Protocol // ProtocolTCP or ProtocolUDP
	port     int
}

func (v *validator) checkLoadBalancingRules() {
	names := map[string]int{}
	backends := map[backendUse]string{}
	for i, r := range v.config.LoadBalancingRules {
		path := at("loadBalancingRules", i)
		v.name("loadBalancingRules", i, r.Name, names)
		pool := v.reference(path+".backendAddressPool", r.BackendAddressPool, "backendAddressPools", v.pools)
		if r.Probe != "" {
			v.reference(path+".probe", r.Probe, "probes", v.probes)
		}
		oneOf(v, path+".protocol", r.Protocol, ProtocolTCP, ProtocolUDP, ProtocolAll)
		ports := v.balancedPorts(path, r)
		if v.oneAddress(path, r.FrontendIPConfiguration, "a load-balancing rule") {
			v.balancedFrontend(path, r, ports)
		}
		if pool && ports {
			v.backendPort(path+".backendPort", r, backends)
		}
		oneOf(v, path+".loadDistribution", r.LoadDistribution, DistributionDefault, DistributionSourceIP, DistributionSourceIPProtocol)
		v.floatingIP(path, r.EnableFloatingIP)
		v.acl(path+".endpointACL", r.EndpointACL)
		if limits := idleLimits[v.config.Profile].inbound; r.HAPorts() {
			v.idleTimeout(path, r.IdleTimer, limits)
			v.neverResets(path, r.IdleTimer, "a rule with HA ports never resets")
		} else {
			v.idle(path, r.IdleTimer, r.Protocol, limits)
		}
	}
}

// balancedPorts checks the ports of a rule: both 0 with All, neither without.
func (v *validator) balancedPorts(path string, r LoadBalancingRule) bool {
	before := len(v.problems)
	for _, p := range []struct {
		key       string
		port, max int
	}{{".frontendPort", r.FrontendPort, 65534}, {".backendPort", r.BackendPort, 65535}} {
		switch {
		case r.Protocol == ProtocolAll && p.port != 0:
			v.add(path+p.key, "%d with protocol All: HA ports need frontendPort 0 and backendPort 0", p.port)
		case len(r.Protocol.parts()) == 1 && p.port == 0:
			v.add(path+p.key, "0 is every port (HA ports), which needs protocol All")
		default:
			v.between(path+p.key, p.port, 0, p.max)
		}
	}
	return len(v.problems) == before
}

// balancedFrontend checks a rule against its frontend, and against the other
// rules there. Azure allows a frontend one rule with HA ports, floating or not;
// that such a rule takes every port covers this.
func (v *validator) balancedFrontend(path string, r LoadBalancingRule, ports bool) {
	f, _ := v.named.frontend(r.FrontendIPConfiguration)
	if r.HAPorts() && f.public() {
		v.add(path+".frontendIPConfiguration", "%s is public; HA ports need an internal frontend", quote(f.Name))
	}
	if ports {
		v.listen(path+".frontendPort", f.Name, r.Protocol, r.listener())
	}
	if f.Internal() || r.DisableOutboundSnat {
		return
	}
	if other, ok := v.outbound[f.Name]; ok {
		v.add(path+".disableOutboundSnat", "%s: outbound rule %s has frontend %s; set it to true", codeSNATNotDisabled, quote(other), quote(f.Name))
	}
}

// outboundRules returns the first outbound rule of each frontend.
func (c *Config) outboundRules() map[string]string {
	first := map[string]string{}
	for _, r := range slices.Backward(c.OutboundRules) {
		for _, name := range r.FrontendIPConfigurations {
			first[name] = r.Name
		}
	}
	return first
}

// backendPort checks that no rule before leads to the same port. All's port 0 is
// one of its own: Azure's page on HA ports says both that such a rule without
// floating IP has its pool to itself and that this is so on one frontend. Here
// the second holds, which allows more.
func (v *validator) backendPort(path string, r LoadBalancingRule, backends map[backendUse]string) {
	if r.EnableFloatingIP {
		return
	}
	told := false
	for _, part := range r.Protocol.parts() {
		use := backendUse{r.BackendAddressPool, part, r.BackendPort}
		other, taken := backends[use]
		if taken && !told {
			v.add(path, "%s: rule %s has %d (%s) of %s already; use another port or pool, or enableFloatingIP: true",
				codeSharedBackendPort, quote(other), use.port, part, quote(use.pool))
			told = true
		}
		if !taken {
			backends[use] = r.Name
		}
	}
}
