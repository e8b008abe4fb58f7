package config

// Protocol is what a rule applies to, in Azure's spelling.
type Protocol string

// The protocols of rules.
const (
	ProtocolTCP Protocol = "Tcp"
	ProtocolUDP Protocol = "Udp"
	ProtocolAll Protocol = "All" // for an outbound rule TCP, UDP and ICMP echo
)

// TCP reports whether a rule for p applies to TCP.
func (p Protocol) TCP() bool { return p == ProtocolTCP || p == ProtocolAll }

// UDP reports whether a rule for p applies to UDP.
func (p Protocol) UDP() bool { return p == ProtocolUDP || p == ProtocolAll }

// parts returns the protocols with ports that p covers. Two rules overlap where
// they share a part; one with an invalid protocol overlaps none.
func (p Protocol) parts() []Protocol {
	switch p {
	case ProtocolTCP, ProtocolUDP:
		return []Protocol{p}
	case ProtocolAll:
		return []Protocol{ProtocolTCP, ProtocolUDP}
	}
	return nil
}
