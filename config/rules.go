package config

import (
	"net/netip"
	"slices"
)

// OutboundRule says by which public frontends the members of a pool leave.
type OutboundRule struct {
	Name                     string   `mapstructure:"name"`
	FrontendIPConfigurations []string `mapstructure:"frontendIPConfigurations"` // names, at least one
	BackendAddressPool       string   `mapstructure:"backendAddressPool"`       // name
	Protocol                 Protocol `mapstructure:"protocol"`
	AllocatedOutboundPorts   int      `mapstructure:"allocatedOutboundPorts"` // as given, a multiple of 8; see Outbound.Ports
	IdleTimer                `mapstructure:",squash"`
}

// InboundNATRule leads one port of a frontend to one port of a backend, or, over
// a pool, a range of ports to that port of each member; see Pooled.
type InboundNATRule struct {
	Name                    string     `mapstructure:"name"`
	FrontendIPConfiguration string     `mapstructure:"frontendIPConfiguration"` // name of a frontend with one address
	Protocol                Protocol   `mapstructure:"protocol"`                // ProtocolTCP or ProtocolUDP
	FrontendPort            int        `mapstructure:"frontendPort"`            // 1–65534; 0 over a pool
	BackendAddress          netip.Addr `mapstructure:"backendAddress"`          // not over a pool
	BackendAddressPool      string     `mapstructure:"backendAddressPool"`      // name, or empty
	FrontendPortRangeStart  int        `mapstructure:"frontendPortRangeStart"`  // 1–65534 over a pool, else 0
	FrontendPortRangeEnd    int        `mapstructure:"frontendPortRangeEnd"`    // inclusive, at most 65535
	BackendPort             int        `mapstructure:"backendPort"`             // 1–65535
	EnableFloatingIP        bool       `mapstructure:"enableFloatingIP"`
	EndpointACL             []ACLEntry `mapstructure:"endpointACL"`
	IdleTimer               `mapstructure:",squash"`
}

// Pooled reports whether the rule is over a pool: member i, counted from 0 in
// the pool's order, then has the port FrontendPortRangeStart + i.
func (r InboundNATRule) Pooled() bool { return r.BackendAddressPool != "" }

// NATRules returns the inbound NAT rules and then the inbound NAT pools, which
// are carried out alike.
func (c *Config) NATRules() []InboundNATRule {
	return slices.Concat(c.InboundNATRules, c.InboundNATPools)
}

// LoadBalancingRule spreads the flows to one port of a frontend, or to all of
// them (HA ports), over the members of a pool.
type LoadBalancingRule struct {
	Name                    string       `mapstructure:"name"`
	FrontendIPConfiguration string       `mapstructure:"frontendIPConfiguration"` // name of a frontend with one address
	BackendAddressPool      string       `mapstructure:"backendAddressPool"`      // name
	Probe                   string       `mapstructure:"probe"`                   // name; empty: every member counts as up
	Protocol                Protocol     `mapstructure:"protocol"`
	FrontendPort            int          `mapstructure:"frontendPort"` // 1–65534; 0 with ProtocolAll
	BackendPort             int          `mapstructure:"backendPort"`  // 1–65535; 0 with ProtocolAll
	LoadDistribution        Distribution `mapstructure:"loadDistribution"`
	EnableFloatingIP        bool         `mapstructure:"enableFloatingIP"`    // the destination address is left alone
	DisableOutboundSnat     bool         `mapstructure:"disableOutboundSnat"` // false, on a public frontend: see Outbounds
	EndpointACL             []ACLEntry   `mapstructure:"endpointACL"`
	IdleTimer               `mapstructure:",squash"`
}

// HAPorts reports whether the rule is for every port and protocol.
func (r LoadBalancingRule) HAPorts() bool {
	return r.Protocol == ProtocolAll && r.FrontendPort == 0 && r.BackendPort == 0
}

// Distribution says what of a flow chooses its member: flows that agree in it
// go to the same one.
type Distribution string

// The distributions, in Azure's spelling.
const (
	DistributionDefault          Distribution = "Default"          // addresses, ports and protocol
	DistributionSourceIP         Distribution = "SourceIP"         // both addresses
	DistributionSourceIPProtocol Distribution = "SourceIPProtocol" // both addresses and the protocol
)

// ACLEntry is a line of a rule's access list. The lowest Order that matches a
// client decides; a list with entries denies what none of them matches.
type ACLEntry struct {
	Order        int          `mapstructure:"order"` // 0–65535, unique in its list
	Action       ACLAction    `mapstructure:"action"`
	RemoteSubnet netip.Prefix `mapstructure:"remoteSubnet"` // of clients; a single address is a /32
	Description  string       `mapstructure:"description"`
}

// ACLAction is what becomes of a client's new flows.
type ACLAction string

// The actions, in Azure's spelling.
const (
	ActionPermit ACLAction = "Permit"
	ActionDeny   ACLAction = "Deny"
)

// InstancePublicIP gives one backend a public address of its own, on which it
// keeps its ports in both directions.
type InstancePublicIP struct {
	Name            string     `mapstructure:"name"`
	PublicIPAddress netip.Addr `mapstructure:"publicIPAddress"` // no frontend's, nobody else's
	BackendAddress  netip.Addr `mapstructure:"backendAddress"`  // with no other public address
	IdleTimer       `mapstructure:",squash"`
}
