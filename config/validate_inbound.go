package config

func (v *validator) checkInboundNATRules() {
	names := map[string]int{}
	listeners := map[endpoint]string{}
	for i, r := range v.config.InboundNATRules {
		path := at("inboundNatRules", i)
		v.name("inboundNatRules", i, r.Name, names)
		if r.Protocol == ProtocolAll {
			v.add(path+".protocol", "All has no single port; use Tcp or Udp")
		} else {
			oneOf(v, path+".protocol", r.Protocol, ProtocolTCP, ProtocolUDP)
		}
		v.idle(path, r.IdleTimer, idleLimits[v.config.Profile].inbound)
		v.listeningPort(path, r, listeners)
		v.backend(path, r)
	}
}

// endpoint is where an inbound rule listens.
type endpoint struct {
	frontend string
	port     int
	protocol Protocol // left out where TCP and UDP are one
}

// listeningPort checks where r listens, and that no rule in listeners does.
func (v *validator) listeningPort(path string, r InboundNATRule, listeners map[endpoint]string) {
	v.between(path+".frontendPort", r.FrontendPort, 1, 65534)
	if !v.reference(path+".frontendIPConfiguration", r.FrontendIPConfiguration, "frontendIPConfigurations", v.frontends) {
		return
	}
	if f, _ := v.config.Frontend(r.FrontendIPConfiguration); f.Size() > 1 {
		v.add(path+".frontendIPConfiguration", "%s is the prefix %s; an inbound NAT rule needs a frontend with one address",
			quote(f.Name), f.Prefix())
	}
	for _, part := range r.Protocol.parts() {
		e := endpoint{r.FrontendIPConfiguration, r.FrontendPort, part}
		if other, taken := listeners[e]; taken {
			v.add(path+".frontendPort", "%d (%s) of %s belongs to rule %s already", e.port, part, quote(e.frontend), quote(other))
			continue
		}
		listeners[e] = r.Name
	}
}

func (v *validator) backend(path string, r InboundNATRule) {
	v.between(path+".backendPort", r.BackendPort, 1, 65535)
	if !r.BackendAddress.IsValid() {
		v.add(path+".backendAddress", "is required")
		return
	}
	if other, ok := v.owned.overlap(single(r.BackendAddress)); ok {
		v.add(path+".backendAddress", "%s belongs to frontend %s", r.BackendAddress, quote(other.owner))
	}
}
