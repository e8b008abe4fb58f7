package config

import (
	"cmp"
	"slices"
)

// lookup finds by name what a section holds, the first of a name.
type lookup struct {
	config    *Config
	frontends map[string]int // index by name
	pools     map[string]int
}

func (c *Config) lookup() lookup {
	l := lookup{c, map[string]int{}, map[string]int{}}
	for i, f := range slices.Backward(c.FrontendIPConfigurations) {
		l.frontends[f.Name] = i
	}
	for i, p := range slices.Backward(c.BackendAddressPools) {
		l.pools[p.Name] = i
	}
	return l
}

func (l lookup) frontend(name string) (f FrontendIPConfiguration, ok bool) {
	if i, ok := l.frontends[name]; ok {
		return l.config.FrontendIPConfigurations[i], true
	}
	return f, false
}

func (l lookup) pool(name string) (p BackendAddressPool, ok bool) {
	if i, ok := l.pools[name]; ok {
		return l.config.BackendAddressPools[i], true
	}
	return p, false
}

// outbound follows the references of r.
func (l lookup) outbound(r OutboundRule) Outbound {
	o := Outbound{OutboundRule: r}
	o.Pool, _ = l.pool(r.BackendAddressPool)
	for _, name := range r.FrontendIPConfigurations {
		if f, ok := l.frontend(name); ok {
			o.Frontends = append(o.Frontends, f)
		}
	}
	return o
}

// blocksTaken counts the blocks of each frontend that are not dealt out because a
// rule's port lies in them. As in Azure, a block with several rules' ports is
// taken once, and for TCP and UDP alike.
func (c *Config) blocksTaken() map[string]int {
	taken := map[string]int{}
	for frontend, listeners := range c.listeners() {
		slices.SortFunc(listeners, func(a, b listener) int { return cmp.Compare(a.first, b.first) })
		next := firstPort / portBlock // the first block that is not counted
		for _, l := range listeners {
			first, last := max(l.first/portBlock, next), min(l.last, lastPort)/portBlock
			if last >= first {
				taken[frontend] += last - first + 1
				next = last + 1
			}
		}
	}
	return taken
}

// listeners returns the ports of each frontend that rules take.
func (c *Config) listeners() map[string][]listener {
	all := map[string][]listener{}
	for _, r := range c.NATRules() {
		all[r.FrontendIPConfiguration] = append(all[r.FrontendIPConfiguration], r.listener())
	}
	for _, r := range c.LoadBalancingRules {
		all[r.FrontendIPConfiguration] = append(all[r.FrontendIPConfiguration], r.listener())
	}
	return all
}
