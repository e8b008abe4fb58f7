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
	number      int  // in the order of the checks
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
		return listener{first: r.FrontendPortRangeStart, last: r.FrontendPortRangeEnd, rule: r.Name, floating: r.EnableFloatingIP}
	}
	return listener{first: r.FrontendPort, last: r.FrontendPort, rule: r.Name, floating: r.EnableFloatingIP}
}

func (r LoadBalancingRule) listener() listener {
	if r.HAPorts() {
		return listener{first: 0, last: 65535, rule: r.Name, floating: r.EnableFloatingIP}
	}
	return listener{first: r.FrontendPort, last: r.FrontendPort, rule: r.Name, floating: r.EnableFloatingIP}
}

// portsPage is some of a frontend's ports: looking at those that a rule takes a part
// of, not at all of them, is what keeps ten thousand rules cheap.
type portsPage struct {
	frontendUse
	page int // HA ports, which are on every one, have their own
}

const (
	pageSize = 2048
	haPage   = -1
)

// listen checks that no other rule, whatever its kind, takes a port of the
// frontend that l takes.
func (v *validator) listen(path, frontend string, p Protocol, l listener) {
	told := false
	for _, part := range p.parts() {
		use := frontendUse{frontend, part}
		if other, ok := v.excluding(use, l); ok && !told {
			v.add(path, "%s (%s) of %s belongs to rule %s already",
				portsText(max(l.first, other.first), min(l.last, other.last)), part, quote(frontend), quote(other.rule))
			told = true
		}
		l.number = v.listening
		v.listening++
		first, last := l.pages()
		for page := first; page <= last; page++ {
			v.listeners[portsPage{use, page}] = append(v.listeners[portsPage{use, page}], l)
		}
	}
}

// excluding returns the first listener that l can't stand beside.
func (v *validator) excluding(use frontendUse, l listener) (found listener, ok bool) {
	look := func(page int) {
		all := v.listeners[portsPage{use, page}]
		if i := slices.IndexFunc(all, l.excludes); i >= 0 && (!ok || all[i].number < found.number) {
			found, ok = all[i], true
		}
	}
	look(haPage)
	for page := l.first / pageSize; page <= l.last/pageSize; page++ {
		look(page)
	}
	return found, ok
}

// pages returns the first and the last page that l is on.
func (l listener) pages() (first, last int) {
	if l.every() {
		return haPage, haPage
	}
	return l.first / pageSize, l.last / pageSize
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
	f, _ := v.named.frontend(frontend)
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
