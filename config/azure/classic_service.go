package azure

import (
	"fmt"
	"slices"
	"strings"
)

// vip is the frontend of a cloud service's public endpoints.
const vip = "vip"

// service carries a cloud service over: each role with endpoints is a pool.
func (c *classic) service(root *xmlNode) {
	name := root.value("name")
	if name == "" {
		name = "the cloud service"
	}
	c.settings.value("serviceName")
	s := &service{classic: c, name: name, declared: map[string]*xmlNode{}, places: map[string]bool{}, taken: map[string]bool{}, room: maxMembers}
	for _, p := range root.child("LoadBalancerProbes").children("LoadBalancerProbe") {
		if probe, ok := c.named(p, "name"); ok {
			s.declared[strings.ToLower(probe)] = p
			for _, key := range []string{"protocol", "path", "port", "intervalInSeconds", "timeoutInSeconds"} {
				p.child(key)
			}
		}
	}
	for _, kind := range []string{"WebRole", "WorkerRole", "VirtualMachineRole"} {
		for _, role := range root.children(kind) {
			if name, ok := c.named(role, "name"); ok {
				s.role(role, name)
			}
		}
	}
	s.checkSettings()
}

// service is a cloud service at work.
type service struct {
	*classic
	name     string
	declared map[string]*xmlNode // probes by lower-case name
	roles    []string
	places   map[string]bool // endpoints, as role/endpoint in lower case
	taken    map[string]bool // names of rules, as section/name
	room     int             // instances that roles may still stand for
}

// setting returns the elements of a list in the configuration's NetworkConfiguration
// whose key has that value.
func (s *service) setting(key, value string, list ...string) []*xmlNode {
	n := s.settings
	if n != nil {
		n = n.child("NetworkConfiguration")
	}
	for _, l := range list[:len(list)-1] {
		n = n.child(l)
	}
	var found []*xmlNode
	for _, e := range n.children(list[len(list)-1]) {
		if strings.EqualFold(e.value(key), value) {
			found = append(found, e)
		}
	}
	return found
}

func (s *service) role(n *xmlNode, role string) {
	s.roles = append(s.roles, role)
	endpoints := n.child("Endpoints")
	balanced, direct := endpoints.children("InputEndpoint"), endpoints.children("InstanceInputEndpoint")
	addresses := s.instances(role)
	public := s.publicIPs(role, addresses)
	if len(balanced)+len(direct) == 0 && !public {
		s.warnAt(n, "not carried over: no endpoint leads to the role; an outbound rule would give it a way out")
		return
	}
	if len(balanced)+len(direct) > 0 {
		s.emit(pools, fields{{"name", role}, {"addresses", addresses}})
	}
	for _, e := range balanced {
		s.inputEndpoint(e, role)
	}
	for _, e := range direct {
		s.instanceEndpoint(e, role)
	}
}

// instances stand for a role's, as many as the configuration asks for.
func (s *service) instances(role string) []any {
	n := 0
	if s.settings != nil {
		for _, r := range s.settings.children("Role") {
			if strings.EqualFold(r.value("name"), role) {
				n, _ = s.number(r.child("Instances"), "count").(int)
			}
		}
	}
	if n < 1 || n > min(maxInstances, s.room) {
		return []any{placeholder("addresses of %s", role)}
	}
	s.room -= n
	var all []any
	for i := range n {
		all = append(all, placeholder("address of %s instance %d", role, i))
	}
	return all
}

// publicIPs carries over the public IP that each instance of the role has.
func (s *service) publicIPs(role string, addresses []any) bool {
	found := false
	for _, assignment := range s.setting("roleName", role, "AddressAssignments", "InstanceAddress") {
		for _, p := range assignment.child("PublicIPs").children("PublicIP") {
			name, ok := s.named(p, "name")
			if !ok {
				continue
			}
			if found {
				s.warnAt(p, "an instance has one public IP: not carried over")
				continue
			}
			found = true
			for i, address := range addresses {
				f := fields{{"name", fmt.Sprintf("%s-%s-%d", role, name, i)}}
				f.set("publicIPAddress", placeholder("publicIPAddress %s of %s instance %d", name, role, i))
				f.set("backendAddress", address)
				s.timer(&f, p)
				s.emit("instancePublicIPs", f)
			}
		}
	}
	return found
}

func (s *service) inputEndpoint(n *xmlNode, role string) {
	name, ok := s.named(n, "name")
	if !ok {
		return
	}
	f := fields{{"name", s.unique(lbRules, role, name)}}
	f.set("frontendIPConfiguration", s.endpointFrontend(n))
	f.set("backendAddressPool", role)
	port := s.number(n, "port")
	local := port
	if given := n.value("localPort"); given == "" || given == "*" {
		s.warnAt(n, "no localPort: Azure chose one; here it is the port, %v", port)
	} else {
		local = s.number(n, "localPort")
	}
	f.set("probe", s.endpointProbe(n, local))
	f.set("protocol", s.protocol(n))
	f.set("frontendPort", port)
	f.set("backendPort", local)
	s.rest(&f, n, s.accessRules(role, name))
	s.emit(lbRules, f)
}

// unique is an endpoint's name; where two roles have one of that name, the second's
// has its role before it.
func (s *service) unique(section, role, name string) string {
	if taken := section + "/" + name; !s.taken[taken] {
		s.taken[taken] = true
		return name
	}
	return role + "-" + name
}

// endpointFrontend is the service's public address, or that of the internal load
// balancer that the endpoint names and the configuration describes.
func (s *service) endpointFrontend(n *xmlNode) string {
	name := n.value("loadBalancer")
	if name == "" {
		return s.frontend(vip, "publicIPAddress", placeholder("publicIPAddress of %s", s.name))
	}
	address := ""
	for _, lb := range s.setting("name", name, "LoadBalancers", "LoadBalancer") {
		frontend := lb.child("FrontendIPConfiguration")
		frontend.child("type") // private is the only one
		address = frontend.value("staticVirtualNetworkIPAddress")
	}
	if address == "" {
		address = placeholder("privateIPAddress of %s", name)
	}
	return s.frontend(name, "privateIPAddress", address)
}

// endpointProbe is the probe that an endpoint names. One without a port of its own
// asks each endpoint's, and so is several here.
func (s *service) endpointProbe(n *xmlNode, local any) string {
	reference := n.child("loadBalancerProbe")
	if reference == nil || reference.text == "" {
		s.warnAt(n, "no loadBalancerProbe: Azure asked its agent in the machine; here backends are never down")
		return ""
	}
	declared, ok := s.declared[strings.ToLower(reference.text)]
	if !ok {
		s.fault(reference, "%q is none of the LoadBalancerProbes", reference.text)
		return ""
	}
	name := declared.value("name")
	if port := s.number(declared, "port"); port != nil {
		s.probe(name, declared, port)
		return name
	}
	if known, ok := s.probes[name]; ok && !slices.Contains(known, field{"port", local}) {
		name = fmt.Sprintf("%s-%v", name, local)
	}
	s.probe(name, declared, local)
	return name
}

// accessRules are the rules of the ACL that the configuration ties to an endpoint.
func (s *service) accessRules(role, endpoint string) []*xmlNode {
	s.places[strings.ToLower(role+"/"+endpoint)] = true
	var rules []*xmlNode
	for _, tie := range s.setting("role", role, "EndpointAcls", "EndpointAcl") {
		if !strings.EqualFold(tie.value("endPoint"), endpoint) {
			continue
		}
		acl := s.setting("name", tie.value("accessControl"), "AccessControls", "AccessControl")
		if len(acl) == 0 {
			s.fault(tie, "%q is none of the AccessControls", tie.value("accessControl"))
		}
		for _, a := range acl {
			rules = append(rules, a.children("Rule")...)
		}
	}
	return rules
}

// instanceEndpoint is an inbound NAT rule over the pool: one public port for each
// instance, from the first of the range on.
func (s *service) instanceEndpoint(n *xmlNode, role string) {
	name, ok := s.named(n, "name")
	if !ok {
		return
	}
	f := fields{{"name", s.unique(natRules, role, name)}}
	f.set("frontendIPConfiguration", s.endpointFrontend(n))
	f.set("backendAddressPool", role)
	f.set("protocol", s.protocol(n))
	fixed := n.child("AllocatePublicPortFrom").child("FixedPortRange")
	if fixed == nil {
		s.fault(n, "needs AllocatePublicPortFrom/FixedPortRange")
		return
	}
	f.set("frontendPortRangeStart", s.number(fixed, "min"))
	f.set("frontendPortRangeEnd", s.number(fixed, "max"))
	f.set("backendPort", s.number(n, "localPort"))
	s.timer(&f, n)
	s.acl(&f, s.accessRules(role, name))
	s.emit(natRules, f)
}

// checkSettings finds what the configuration says of roles and endpoints that the
// definition does not have.
func (s *service) checkSettings() {
	if s.settings == nil {
		return
	}
	known := func(n *xmlNode, key string) {
		if name := n.value(key); !slices.ContainsFunc(s.roles, func(r string) bool { return strings.EqualFold(r, name) }) {
			s.fault(n, "%q is no role of the ServiceDefinition", name)
		}
	}
	for _, r := range s.settings.children("Role") {
		known(r, "name")
	}
	network := s.settings.child("NetworkConfiguration")
	for _, a := range network.child("AddressAssignments").children("InstanceAddress") {
		known(a, "roleName")
	}
	for _, a := range network.child("EndpointAcls").children("EndpointAcl") {
		if known(a, "role"); !s.places[strings.ToLower(a.value("role")+"/"+a.value("endPoint"))] {
			s.fault(a, "%q is no endpoint of role %q", a.value("endPoint"), a.value("role"))
		}
	}
}
