package config

import (
	"fmt"
	"slices"
)

// listener is the ports of a frontend that a rule takes.
type listener struct {
	first, last int
	rule        string
	floating    bool // it leaves the destination address alone
}

// every reports whether these are HA ports.
func (l listener) every() bool { return l.first == 0 }

// excludes reports whether no packet may be for both. Azure lets a rule for one
// port stand beside one with HA ports where both float (its page on HA ports,
// limitations); the one for the port then comes first.
func (l listener) excludes(other listener) bool {
	beside := l.every() != other.every() && l.floating && other.floating
	return l.first <= other.last && other.first <= l.last && !beside
}

// listener of a rule over a pool is the whole range: what it leaves over is for
// members to come.
func (r InboundNATRule) listener() listener {
	if r.Pooled() {
		return listener{r.FrontendPortRangeStart, r.FrontendPortRangeEnd, r.Name, r.EnableFloatingIP}
	}
	return listener{r.FrontendPort, r.FrontendPort, r.Name, r.EnableFloatingIP}
}

func (r LoadBalancingRule) listener() listener {
	if r.HAPorts() {
		return listener{0, 65535, r.Name, r.EnableFloatingIP}
	}
	return listener{r.FrontendPort, r.FrontendPort, r.Name, r.EnableFloatingIP}
}

// listen checks that no other rule, whatever its kind, takes a port of the
// frontend that l takes.
func (v *validator) listen(path, frontend string, p Protocol, l listener) {
	told := false
	for _, part := range p.parts() {
		use := frontendUse{frontend, part}
		i := slices.IndexFunc(v.listeners[use], l.excludes)
		if i >= 0 && !told {
			other := v.listeners[use][i]
			v.add(path, "%s (%s) of %s belongs to rule %s already",
				portsText(max(l.first, other.first), min(l.last, other.last)), part, quote(frontend), quote(other.rule))
			told = true
		}
		v.listeners[use] = append(v.listeners[use], l)
	}
}

func portsText(first, last int) string {
	switch {
	case first == last:
		return fmt.Sprint(first)
	case first == 0:
		return "every port"
	}
	return fmt.Sprintf("%d–%d", first, last)
}

// oneAddress checks that a rule of that kind listens on a frontend that is
// there, and that has one address.
func (v *validator) oneAddress(path, frontend, kind string) bool {
	path += ".frontendIPConfiguration"
	if !v.reference(path, frontend, "frontendIPConfigurations", v.frontends) {
		return false
	}
	f, _ := v.config.Frontend(frontend)
	if f.Size() > 1 {
		v.add(path, "%s is the prefix %s; %s needs a frontend with one address", quote(f.Name), f.Prefix(), kind)
		return false
	}
	return true
}

// acl checks a rule's access list.
func (v *validator) acl(path string, entries []ACLEntry) {
	orders := map[int]int{}
	for i, e := range entries {
		entry := at(path, i)
		v.between(entry+".order", e.Order, 0, 65535)
		if first, twice := orders[e.Order]; twice {
			v.add(entry+".order", "%d is the order of %s already", e.Order, at("endpointACL", first))
		} else {
			orders[e.Order] = i
		}
		oneOf(v, entry+".action", e.Action, ActionPermit, ActionDeny)
		if !e.RemoteSubnet.IsValid() {
			v.add(entry+".remoteSubnet", "is required")
		}
	}
}

// floatingIP refuses direct server return where frames have no destination.
func (v *validator) floatingIP(path string, enabled bool) {
	if enabled && v.config.Gateway.Datapath == DatapathTUN {
		v.add(path+".enableFloatingIP", "direct server return hands frames to a backend by its link-layer address, which datapath tun has not; use datapath packet")
	}
}
