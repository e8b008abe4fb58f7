package config

import "net/netip"

func (v *validator) checkInstancePublicIPs() {
	names := map[string]int{}
	public, backends := newClaims(), newClaims()
	for i, ip := range v.config.InstancePublicIPs {
		path := at("instancePublicIPs", i)
		v.name("instancePublicIPs", i, ip.Name, names)
		v.instanceAddress(path+".publicIPAddress", ip.PublicIPAddress, public, ip.Name)
		v.instanceAddress(path+".backendAddress", ip.BackendAddress, backends, ip.Name)
		if other, ok := v.members.overlap(single(ip.PublicIPAddress)); ok && ip.PublicIPAddress.IsValid() {
			v.add(path+".publicIPAddress", "%s is in pool %s", ip.PublicIPAddress, quote(other.owner))
		}
		v.idle(path, ip.IdleTimer, ProtocolAll, idleLimits[v.config.Profile].inbound)
	}
	for i, ip := range v.config.InstancePublicIPs {
		if other, ok := public.overlap(single(ip.BackendAddress)); ok && ip.BackendAddress.IsValid() {
			v.add(at("instancePublicIPs", i)+".backendAddress", "%s is the public address of %s", ip.BackendAddress, quote(other.owner))
		}
	}
}

// instanceAddress checks one of the two addresses, and claims it.
func (v *validator) instanceAddress(path string, a netip.Addr, known *claims, name string) {
	if !a.IsValid() {
		v.add(path, "is required")
		return
	}
	if other, ok := v.owned.overlap(single(a)); ok {
		v.add(path, "%s belongs to frontend %s", a, quote(other.owner))
	}
	if other, ok := known.overlap(single(a)); ok {
		v.add(path, "%s belongs to %s already", a, quote(other.owner))
	}
	known.add(single(a), name)
}
