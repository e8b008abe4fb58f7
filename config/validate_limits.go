package config

import (
	"maps"
	"net/netip"
	"slices"
)

// rulesPerBackend is Azure's limit of rules per network interface: outbound,
// inbound NAT and load-balancing rules together. Its other limits are of a
// subscription, not of a load balancer, and not kept here.
const rulesPerBackend = 300

// checkRulesPerBackend counts the rules of every address without visiting each:
// only where an entry begins or ends does the number change.
func (v *validator) checkRulesPerBackend() {
	if v.config.Profile == ProfileCustom {
		return
	}
	change := map[int]int{}
	v.config.countRules(func(p netip.Prefix, rules int) {
		if p.IsValid() {
			b := p.Addr().As4()
			first := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
			change[first] += rules
			change[first+size(p)] -= rules
		}
	})
	section := "loadBalancingRules"
	if len(v.config.LoadBalancingRules) == 0 {
		section = "inboundNatRules"
	}
	rules := 0
	for _, n := range slices.Sorted(maps.Keys(change)) {
		if rules += change[n]; rules > rulesPerBackend {
			a := netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
			v.add(section, "%s: %s has %d rules; a backend has at most %d (profile %s)",
				codeTooManyRules, a, rules, rulesPerBackend, v.config.Profile)
			return
		}
	}
}

// countRules tells how many rules concern a prefix. One may come more than once.
func (c *Config) countRules(count func(netip.Prefix, int)) {
	rules := map[string]int{} // by pool
	for _, r := range c.OutboundRules {
		rules[r.BackendAddressPool]++
	}
	for _, r := range c.LoadBalancingRules {
		rules[r.BackendAddressPool]++
	}
	for _, r := range c.NATRules() {
		if r.Pooled() {
			rules[r.BackendAddressPool]++
		} else {
			count(single(r.BackendAddress), 1)
		}
	}
	for _, p := range c.BackendAddressPools {
		for _, a := range p.Addresses {
			count(a.Prefix, rules[p.Name])
		}
	}
}
