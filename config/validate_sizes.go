package config

// Bounds of a configuration as a whole: what it makes has to fit into memory, and to be
// made in a moment, whoever asks for it. Azure's are far below: 600 frontends and 1,500
// rules of a load balancer, 5,000 members of a pool.
const (
	mostFrontendAddresses = 1 << 16 // public and internal ones together
	mostMembersInAll      = 1 << 17 // an address in two pools counts twice
	mostServices          = 1 << 20 // backends of load-balancing rules, rule by rule
	mostBalancedPools     = 1 << 10 // pools of load-balancing rules, once for each probe: 256 KiB or more each
)

func (v *validator) checkSizes() {
	addresses, members, services := 0, 0, 0
	for _, f := range v.config.FrontendIPConfigurations {
		if p := f.Prefix(); p.IsValid() && p.Bits() >= widestFrontend { // else told of already
			addresses += size(p)
		}
	}
	v.atMost("frontendIPConfigurations", "addresses", addresses, mostFrontendAddresses)
	sizes := make(map[string]int)
	for _, p := range v.config.BackendAddressPools {
		sizes[p.Name] = p.Size()
		members += p.Size()
	}
	v.atMost("backendAddressPools", "addresses", members, mostMembersInAll)
	balanced := make(map[[2]string]bool)
	for _, r := range v.config.LoadBalancingRules {
		services += sizes[r.BackendAddressPool]
		balanced[[2]string{r.BackendAddressPool, r.Probe}] = true
	}
	v.atMost("loadBalancingRules", "backends, rule by rule,", services, mostServices)
	v.atMost("loadBalancingRules", "different pools and probes", len(balanced), mostBalancedPools)
}

func (v *validator) atMost(path, what string, n, most int) {
	if n > most {
		v.add(path, "%d %s are more than the %d that a gateway may have", n, what, most)
	}
}
