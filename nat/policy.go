package nat

import (
	"fmt"

	"tidegate/packet"
)

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
	leases    []*Lease
	members   map[packet.Addr]*member
	dealt     map[packet.Protocol]map[packet.Addr]int // by frontend, how many blocks have been dealt out
	hairpins  map[frontendPort]uint32                 // owner numbers, by frontend address and protocol
	runs      map[packet.Protocol][]run               // whose ports are whose, in ascending order
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
func NewPolicy(r Rules) (*Policy, error) {
	p := &Policy{
		inbound:   newInbound(r.Inbound, r.Instances),
		frontends: make(map[packet.Addr]frontend),
		reserved:  make(map[packet.Addr]map[int]bool),
		members:   make(map[packet.Addr]*member),
		dealt:     make(map[packet.Protocol]map[packet.Addr]int),
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
	for i := range r.Outbound {
		if err := p.deal(&r.Outbound[i]); err != nil {
			return nil, err
		}
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

func (p *Policy) deal(r *OutboundRule) error {
	if r.Ports < BlockSize || r.Ports%BlockSize != 0 {
		return fmt.Errorf("nat: rule %s: %d ports for each member is not a multiple of %d", r.Name, r.Ports, BlockSize)
	}
	for _, a := range r.Frontends {
		f := p.frontends[a]
		f.snat = true
		p.frontends[a] = f
	}
	stock := p.stock(r)
	for _, addr := range r.Members {
		blocks, ok := stock.take(r.Ports)
		if !ok {
			return fmt.Errorf("nat: rule %s: no ports left for member %v (each takes %d)", r.Name, addr, r.Ports)
		}
		for _, proto := range r.Protocols {
			if err := p.lease(r, addr, proto, blocks); err != nil {
				return err
			}
		}
	}
	return nil
}

// stock returns what is left of a rule's frontends for its protocols, and counts
// it as what is left after the rule.
func (p *Policy) stock(r *OutboundRule) inventory {
	v := inventory{frontends: r.Frontends, reserved: p.reserved, next: make(map[packet.Addr]int), end: blocksPerFrontend}
	for _, proto := range r.Protocols {
		for a, n := range p.dealt[proto] {
			v.next[a] = max(v.next[a], n)
		}
	}
	for _, proto := range r.Protocols {
		p.dealt[proto] = v.next
	}
	return v
}

func (p *Policy) lease(r *OutboundRule, addr packet.Addr, proto packet.Protocol, blocks []PortBlock) error {
	m := p.members[addr]
	if m == nil {
		m = new(member)
		p.members[addr] = m
	}
	if *m.lease(proto) != 0 {
		return fmt.Errorf("nat: rule %s: member %v already has an outbound rule for %v", r.Name, addr, proto)
	}
	p.leases = append(p.leases, &Lease{
		Rule: r.Rule, Member: addr, Protocol: proto, Blocks: append([]PortBlock(nil), blocks...), total: r.Ports,
	})
	*m.lease(proto) = uint32(len(p.leases))
	return nil
}

// IsFrontend says whether the gateway answers for that address.
func (p *Policy) IsFrontend(a packet.Addr) bool {
	_, ok := p.frontends[a]
	return ok
}

// IsInternal says whether that frontend is answered on the inside, and only there.
func (p *Policy) IsInternal(a packet.Addr) bool { return p.frontends[a].internal }

// Owns says whether a port of a frontend is among those given out.
func (p *Policy) Owns(frontend packet.Addr, port uint16) bool {
	f := p.frontends[frontend]
	return f.snat && inRange(port) || f.served && f.hairpin().has(port)
}

// Membership is what of a Policy follows the members of pools.
type Membership struct {
	members map[packet.Addr]*member
	answers Answers
}

// Membership works out that of other rules, whose numbers and pools are the ones of
// before. Addresses with an outbound rule or an instance-level public IP stay in. It
// only reads, so that it may run beside everything but Adopt.
func (p *Policy) Membership(r *Rules) Membership {
	m := Membership{make(map[packet.Addr]*member, len(r.Members)), NewAnswers(r.Inbound)}
	for a, of := range p.members {
		if *of != (member{}) || p.InstanceOf(a) != nil {
			m.members[a] = of
		}
	}
	for _, a := range r.Members {
		if m.members[a] == nil {
			m.members[a] = new(member)
		}
	}
	return m
}

// Adopt puts it in force.
func (p *Policy) Adopt(m Membership) { p.members, p.answers = m.members, m.answers }

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

// Leases returns all leases, those of frontends for hairpin flows too. They belong
// to the Policy.
func (p *Policy) Leases() []*Lease { return p.leases }
