package nat

import "tidegate/packet"

// OutboundRule lets the members of a pool out.
type OutboundRule struct {
	Rule      uint16 // its number, the same for flows
	Name      string
	Protocols []packet.Protocol
	Frontends []packet.Addr // in the order they are used up
	Members   []packet.Addr
	Ports     int // each member's, a multiple of BlockSize, per protocol
}

// Rules is everything that a Policy is made of.
type Rules struct {
	Frontends []packet.Addr // public ones, answered on the outside
	Internal  []packet.Addr // and internal ones, on the inside
	Members   []packet.Addr // of all pools, with or without an outbound rule
	Outbound  []OutboundRule
	Inbound   []InboundRule
	Reserved  []Endpoint // ports of frontends that rules will have some day
	Instances []Instance // their public addresses need not be among Frontends, nor their backends among Members
}

// Policy is the rules, ready to be asked.
type Policy struct {
	inbound
	frontends map[packet.Addr]frontend
	reserved  map[packet.Addr]map[int]bool // by frontend, the blocks that inbound rules' ports fall in
	leases    []*Lease                     // by owner number, less one; nil for numbers that nobody has
	members   map[packet.Addr]*member
	hairpins  map[frontendPort]uint32   // owner numbers, by frontend address and protocol
	runs      map[packet.Protocol][]run // whose ports are whose, in ascending order
	leaving   *leavers                  // of all leases
}

// frontend is what is known of an address that the gateway answers for.
type frontend struct {
	internal bool
	snat     bool // its ports are given out for SNAT
	served   bool // it has inbound rules
}

// member holds for TCP, UDP and ICMP the index into Policy.leases, plus one.
type member [3]uint32

func (m *member) lease(proto packet.Protocol) *uint32 {
	switch proto {
	case packet.TCP:
		return &m[0]
	case packet.UDP:
		return &m[1]
	}
	return &m[2]
}

// NewPolicy deals every member its ports. The rules come validated; what still
// can't be dealt out is an error that names the rule.
func NewPolicy(r Rules) (*Policy, error) { return newPolicy(r, nil) }

func newPolicy(r Rules, before Dealt) (*Policy, error) {
	p := &Policy{
		inbound:   newInbound(r.Inbound, r.Instances),
		frontends: make(map[packet.Addr]frontend),
		reserved:  make(map[packet.Addr]map[int]bool),
		members:   make(map[packet.Addr]*member),
		leaving:   &leavers{shelves: make(map[shelf]*leaving)},
		hairpins:  make(map[frontendPort]uint32),
		runs:      make(map[packet.Protocol][]run),
	}
	p.addAddresses(&r)
	for i := range r.Inbound {
		p.serve(r.Inbound[i].Frontend)
	}
	for _, e := range r.Reserved {
		p.serve(e)
	}
	if err := p.deal(r.Outbound, before); err != nil {
		return nil, err
	}
	p.indexPorts()
	return p, nil
}

func (p *Policy) addAddresses(r *Rules) {
	for _, a := range r.Frontends {
		p.frontends[a] = frontend{}
	}
	for _, a := range r.Internal {
		p.frontends[a] = frontend{internal: true}
	}
	for _, a := range r.Members {
		p.members[a] = new(member)
	}
	for _, i := range r.Instances {
		p.frontends[i.Public] = frontend{}
		p.members[i.Backend] = new(member)
	}
}

// serve notes an inbound rule's endpoint, and keeps the block that its port falls
// in from being given out.
func (p *Policy) serve(e Endpoint) {
	f := p.frontends[e.Addr]
	f.served = true
	p.frontends[e.Addr] = f
	if e.Port < FirstPort {
		return
	}
	if p.reserved[e.Addr] == nil {
		p.reserved[e.Addr] = make(map[int]bool)
	}
	p.reserved[e.Addr][blockOf(e.Port)] = true
}

// IsFrontend says whether the gateway answers for that address.
func (p *Policy) IsFrontend(a packet.Addr) bool {
	_, ok := p.frontends[a]
	return ok
}

// Lost returns the addresses that another policy does not answer for where this one does.
func (p *Policy) Lost(next *Policy) map[packet.Addr]bool {
	lost := make(map[packet.Addr]bool)
	for a, f := range p.frontends {
		if other, there := next.frontends[a]; !there || other.internal != f.internal {
			lost[a] = true
		}
	}
	return lost
}

// IsInternal says whether that frontend is answered on the inside, and only there.
func (p *Policy) IsInternal(a packet.Addr) bool { return p.frontends[a].internal }

// Owns says whether a port of a frontend is among those given out.
func (p *Policy) Owns(frontend packet.Addr, port uint16) bool {
	f := p.frontends[frontend]
	return f.snat && inRange(port) || f.served && f.hairpin().has(port)
}

// IsMember says whether that inside address is in a pool.
func (p *Policy) IsMember(a packet.Addr) bool { return p.members[a] != nil }

// Outbound returns the lease from which a member's new flow of that protocol
// gets its port, and the owner number to remember it by; 0 if it has none.
func (p *Policy) Outbound(member packet.Addr, proto packet.Protocol) (*Lease, uint32) {
	m := p.members[member]
	if m == nil {
		return nil, 0
	}
	owner := *m.lease(proto)
	if owner == 0 {
		return nil, 0
	}
	return p.leases[owner-1], owner
}

// Owner returns the lease with that owner number, nil for 0.
func (p *Policy) Owner(owner uint32) *Lease {
	if owner == 0 {
		return nil
	}
	return p.leases[owner-1]
}

// Leases returns all leases, those of frontends for hairpin flows and those that only
// wait for flows to end too. They belong to the Policy.
func (p *Policy) Leases() []*Lease {
	all := make([]*Lease, 0, len(p.leases))
	for _, l := range p.leases {
		if l != nil {
			all = append(all, l)
		}
	}
	return all
}
