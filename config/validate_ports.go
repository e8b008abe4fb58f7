package config

// allocatedPorts checks that the rule's frontends have the ports that it gives
// its members. A member's ports may lie on several frontend IPs.
func (v *validator) allocatedPorts(path string, o Outbound) {
	allocated := o.AllocatedOutboundPorts
	if allocated < 0 {
		v.add(path, "%d is negative", allocated)
		return
	}
	if allocated%portBlock != 0 {
		below := allocated - allocated%portBlock
		v.add(path, "%s: %d is not a multiple of 8; use %d or %d", codeNotMultipleOfEight, allocated, below, below+portBlock)
	}
	if !o.countable() {
		return
	}
	taken := 0
	for _, f := range o.Frontends {
		taken += v.taken[f.Name]
	}
	most := portsPerIP * o.FrontendIPs()
	available := most - portBlock*taken
	members := max(o.Pool.Size(), 1)
	switch {
	case o.Ports() > most:
		v.add(path, "%s: %d ports for each member exceed the %d of a rule with %d frontend IPs",
			codeMoreThanAllowed, o.Ports(), most, o.FrontendIPs())
	case o.Ports() > available/members:
		v.add(path, "%s: %d members × %d ports each exceed the %d available (64000 × %d frontend IPs − 8 × %d blocks with a rule's port)",
			codeMoreThanAvailable, members, o.Ports(), available, o.FrontendIPs(), taken)
	}
}

// countable is false where an address of the rule's frontends is not known,
// which is told elsewhere.
func (o Outbound) countable() bool {
	for _, f := range o.Frontends {
		if f.Size() == 0 {
			return false
		}
	}
	return len(o.Frontends) > 0 && len(o.Frontends) == len(o.FrontendIPConfigurations)
}

// checkImpliedOutbounds checks what load-balancing rules without
// disableOutboundSnat imply. Unlike given rules, those of several pools may share
// a frontend, whose ports are dealt out rule by rule, and members, which leave by
// the first rule that lets them out.
func (v *validator) checkImpliedOutbounds() {
	left := map[frontendUse]int{}
	for _, o := range v.config.Outbounds() {
		if !o.Implied {
			continue
		}
		members := v.letOut(o)
		if !o.countable() {
			continue
		}
		missing := members * o.Ports()
		for _, f := range o.Frontends {
			use := frontendUse{f.Name, o.Protocol}
			if _, known := left[use]; !known {
				left[use] = portsPerIP*f.Size() - portBlock*v.taken[f.Name]
			}
			dealt := min(missing, left[use])
			left[use], missing = left[use]-dealt, missing-dealt
		}
		if missing > 0 {
			v.add(at("loadBalancingRules", o.by)+".disableOutboundSnat",
				"%s: %d members × %d ports each are %d more than its frontends have left; set it to true and give the pool an outbound rule",
				codeMoreThanAvailable, members, o.Ports(), missing)
		}
	}
}

// letOut returns how many members of the pool no rule before o lets out.
func (v *validator) letOut(o Outbound) int {
	known, members := v.leaving[o.Protocol], 0
	for _, entry := range o.Pool.Addresses {
		if entry.IsValid() {
			members += known.free(entry.Prefix)
			known.add(entry.Prefix, o.Name)
		}
	}
	return members
}
