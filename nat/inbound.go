package nat

import "tidegate/packet"

// InboundRule leads what is sent to a frontend to a backend: an inbound NAT rule
// to its own, a load-balancing rule to one out of a Pool.
type InboundRule struct {
	Rule         uint16
	Name         string
	Protocol     packet.Protocol
	Frontend     Endpoint // port 0: every port that no other rule has (HA ports)
	Backend      Endpoint // port 0: the same port; with a Pool the address is 0
	Pool         *Pool
	Distribution Distribution // within the Pool
	Floating     bool         // direct server return: the destination address is left alone
	ACL          ACL
}

// Choose returns where a new flow with that tuple goes; false: no backend takes it.
func (r *InboundRule) Choose(t *packet.Tuple) (to Endpoint, ok bool) {
	to = r.Backend
	if to.Port == 0 {
		to.Port = t.DstPort
	}
	if r.Pool == nil {
		return to, true
	}
	if r.Pool.choice == nil {
		return to, false
	}
	to.Addr, ok = r.Pool.choice.Choose(r.Distribution.hash(t))
	return to, ok
}

// ACL is an endpoint access control list: its entries in ascending order.
type ACL []ACLEntry

// ACLEntry permits or denies the clients in a subnet.
type ACLEntry struct {
	Order         int
	Permit        bool
	Network, Mask packet.Addr
}

// Permits says whether a client may begin a flow: the first entry that covers it
// decides. Without entries all may; with some, those that none covers may not.
func (l ACL) Permits(client packet.Addr) bool {
	for i := range l {
		if client&l[i].Mask == l[i].Network {
			return l[i].Permit
		}
	}
	return len(l) == 0
}

// Instance is an instance-level public IP: one backend's own, with all its ports,
// in both directions.
type Instance struct {
	Rule            uint16
	Name            string
	Public, Backend packet.Addr
}

type frontendPort struct {
	Endpoint
	protocol packet.Protocol
}

// inbound finds rules by where packets are sent, and by who answers.
type inbound struct {
	rules     map[frontendPort]*InboundRule
	answers   Answers
	instances map[packet.Addr]*Instance
	owners    map[packet.Addr]*Instance // by backend
}

func newInbound(rules []InboundRule, instances []Instance) inbound {
	in := inbound{
		rules:     make(map[frontendPort]*InboundRule),
		answers:   NewAnswers(rules),
		instances: make(map[packet.Addr]*Instance),
		owners:    make(map[packet.Addr]*Instance),
	}
	for i := range rules {
		r := &rules[i]
		in.rules[frontendPort{r.Frontend, r.Protocol}] = r
	}
	for i := range instances {
		in.instances[instances[i].Public] = &instances[i]
		in.owners[instances[i].Backend] = &instances[i]
	}
	return in
}

// Answers are the numbers of rules by the endpoints of the backends that answer for
// them. Where rules share one, it is the last one's.
type Answers map[frontendPort]uint16

// NewAnswers collects them.
func NewAnswers(rules []InboundRule) Answers {
	all := make(Answers)
	for i := range rules {
		all.learn(&rules[i])
	}
	return all
}

// learn notes which endpoints answer for the rule.
func (all Answers) learn(r *InboundRule) {
	if r.Backend.Port == 0 {
		return // any port: nothing tells its answers from what the backend begins
	}
	from := Endpoint{Port: r.Backend.Port}
	switch {
	case r.Floating:
		from.Addr = r.Frontend.Addr
		all[frontendPort{from, r.Protocol}] = r.Rule
	case r.Pool == nil:
		all[frontendPort{r.Backend, r.Protocol}] = r.Rule
	default:
		for _, b := range r.Pool.Backends {
			from.Addr = b.Addr
			all[frontendPort{from, r.Protocol}] = r.Rule
		}
	}
}

// Inbound returns the rule for a new flow to a frontend's port, or nil.
func (in *inbound) Inbound(to Endpoint, proto packet.Protocol) *InboundRule {
	if r := in.rules[frontendPort{to, proto}]; r != nil {
		return r
	}
	return in.rules[frontendPort{Endpoint{Addr: to.Addr}, proto}]
}

// Answering returns the number of a rule for which that endpoint answers clients.
func (in *inbound) Answering(from Endpoint, proto packet.Protocol) (rule uint16, ok bool) {
	rule, ok = in.answers[frontendPort{from, proto}]
	return rule, ok
}

// InstanceAt returns the instance-level public IP with that public address, or nil.
func (in *inbound) InstanceAt(public packet.Addr) *Instance { return in.instances[public] }

// InstanceOf returns the instance-level public IP of a backend, or nil.
func (in *inbound) InstanceOf(backend packet.Addr) *Instance { return in.owners[backend] }
