package nexthop

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// foreignRules names the `ip rule`s that the Snapshot does not follow: all but
// the three that every host has and those with a priority to be ignored.
func (k kernel) foreignRules(ignore []int) ([]string, error) {
	rules, err := k.handle.RuleList(netlink.FAMILY_V4)
	if errors.Is(err, unix.EOPNOTSUPP) { // a kernel without IP_MULTIPLE_TABLES
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("nexthop: read ip rules: %w", err)
	}
	var names []string
	for _, r := range rules {
		if !defaultRule(r) && !slices.Contains(ignore, r.Priority) {
			names = append(names, ruleName(r))
		}
	}
	return names, nil
}

// defaultRule reports whether the kernel made r (fib_default_rules_init).
func defaultRule(r netlink.Rule) bool {
	if r.Src != nil || r.Dst != nil || r.Mark != 0 || r.IifName != "" || r.OifName != "" || r.Invert || r.Goto >= 0 {
		return false
	}
	switch r.Priority {
	case 0:
		return r.Table == unix.RT_TABLE_LOCAL
	case 32766:
		return r.Table == unix.RT_TABLE_MAIN
	case 32767:
		return r.Table == unix.RT_TABLE_DEFAULT
	}
	return false
}

// ruleName is as much of `ip rule` as an operator needs to find it there.
func ruleName(r netlink.Rule) string {
	name := fmt.Sprintf("%d: from %s to %s", r.Priority, orAll(r.Src), orAll(r.Dst))
	if r.Mark != 0 {
		name += fmt.Sprintf(" fwmark %#x", r.Mark)
	}
	if r.IifName != "" {
		name += " iif " + r.IifName
	}
	if r.OifName != "" {
		name += " oif " + r.OifName
	}
	return name + fmt.Sprintf(" lookup %d", r.Table)
}

func orAll(n fmt.Stringer) string {
	if s := n.String(); s != "<nil>" {
		return s
	}
	return "all"
}
