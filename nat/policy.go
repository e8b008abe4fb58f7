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

// InboundRule sends one port of a frontend address to a backend.
type InboundRule struct {
	Rule     uint16
	Name     string
	Protocol packet.Protocol
	Frontend Endpoint
	Backend  Endpoint
}

type frontendPort struct {
	Endpoint
	protocol packet.Protocol
}

// Policy is the rules, ready to be asked.
type Policy struct {
	frontends map[packet.Addr]bool // true: its ports are given out for SNAT
	leases    []*Lease
	members   map[packet.Addr]*member
	inbound   map[frontendPort]*InboundRule
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
func NewPolicy(frontends []packet.Addr, outbound []OutboundRule, inbound []InboundRule) (*Policy, error) {
	p := &Policy{
		frontends: make(map[packet.Addr]bool),
		members:   make(map[packet.Addr]*member),
		inbound:   make(map[frontendPort]*InboundRule),
	}
	for _, a := range frontends {
		p.frontends[a] = false
	}
	reserved := make(map[packet.Addr]map[int]bool)
	for i := range inbound {
		r := &inbound[i]
		p.inbound[frontendPort{r.Frontend, r.Protocol}] = r
		reserve(reserved, r.Frontend)
	}
	for i := range outbound {
		if err := p.deal(&outbound[i], reserved); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func reserve(reserved map[packet.Addr]map[int]bool, e Endpoint) {
	if !inRange(e.Port) {
		return
	}
	if reserved[e.Addr] == nil {
		reserved[e.Addr] = make(map[int]bool)
	}
	reserved[e.Addr][blockOf(e.Port)] = true
}

func (p *Policy) deal(r *OutboundRule, reserved map[packet.Addr]map[int]bool) error {
	if r.Ports < BlockSize || r.Ports%BlockSize != 0 {
		return fmt.Errorf("nat: rule %s: %d ports for each member is not a multiple of %d", r.Name, r.Ports, BlockSize)
	}
	for _, a := range r.Frontends {
		p.frontends[a] = true
	}
	stock := inventory{frontends: r.Frontends, reserved: reserved}
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

// Owns says whether a port of a frontend is among those given out for SNAT.
func (p *Policy) Owns(frontend packet.Addr, port uint16) bool {
	return p.frontends[frontend] && inRange(port)
}

// AddMembers makes inside addresses known that are in a pool, with or without an
// outbound rule.
func (p *Policy) AddMembers(all []packet.Addr) {
	for _, a := range all {
		if p.members[a] == nil {
			p.members[a] = new(member)
		}
	}
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

// Inbound returns the rule for a new flow to a frontend's port, or nil.
func (p *Policy) Inbound(to Endpoint, proto packet.Protocol) *InboundRule {
	return p.inbound[frontendPort{to, proto}]
}

// Owner returns the lease with that owner number, nil for 0.
func (p *Policy) Owner(owner uint32) *Lease {
	if owner == 0 {
		return nil
	}
	return p.leases[owner-1]
}

// Leases returns all leases. They belong to the Policy.
func (p *Policy) Leases() []*Lease { return p.leases }
