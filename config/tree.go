// Package config is the gateway's configuration: its typed tree, its defaults,
// and the only place that decides whether a configuration is valid.
//
// A *Config that [Load] or [Parse] returned is complete and consistent: every
// default is filled in, every reference leads somewhere, every number is in the
// range of the profile, and what this version does not do is not asked for.
// Nobody downstream checks again. A configuration that is not so yields every
// problem at once, as [Problems], each at the path of its key in the spelling
// of Azure's Microsoft.Network/loadBalancers resource, whose names and rules
// the tree follows.
//
// Nothing here opens a socket, looks at an interface or resolves a name: a file
// is as valid on the machine where it is written as on the one where it runs.
// A Config is not changed after it was returned.
package config

import "time"

// Config is the whole file. Sections stand in the order in which problems are told.
type Config struct {
	Profile                  Profile                   `mapstructure:"profile"`
	Gateway                  Gateway                   `mapstructure:"gateway"`
	API                      API                       `mapstructure:"api"`
	Log                      Log                       `mapstructure:"log"`
	Reload                   Reload                    `mapstructure:"reload"`
	FlowRecords              FlowRecords               `mapstructure:"flowRecords"`
	Timers                   Timers                    `mapstructure:"timers"`
	FrontendIPConfigurations []FrontendIPConfiguration `mapstructure:"frontendIPConfigurations"`
	BackendAddressPools      []BackendAddressPool      `mapstructure:"backendAddressPools"`
	OutboundRules            []OutboundRule            `mapstructure:"outboundRules"`
	InboundNATRules          []InboundNATRule          `mapstructure:"inboundNatRules"`
	InboundNATPools          []InboundNATRule          `mapstructure:"inboundNatPools"` // scale sets' older form: each over a pool
	LoadBalancingRules       []LoadBalancingRule       `mapstructure:"loadBalancingRules"`
	Probes                   []Probe                   `mapstructure:"probes"`
	InstancePublicIPs        []InstancePublicIP        `mapstructure:"instancePublicIPs"`

	origin
}

// Gateway is where packets come from, where they go, and how many flows fit.
type Gateway struct {
	Datapath Datapath  `mapstructure:"datapath"`
	Inside   Interface `mapstructure:"inside"`
	Outside  Interface `mapstructure:"outside"`
	TUN      TUN       `mapstructure:"tun"`
	Workers  int       `mapstructure:"workers"`  // 0–256; 0 is one per CPU
	MaxFlows int       `mapstructure:"maxFlows"` // 1,024–16,777,216
	StateDir string    `mapstructure:"stateDir"` // absolute path
}

// Interface names one side of the gateway; empty only with [DatapathTUN].
type Interface struct {
	Name string `mapstructure:"interface"`
}

// TUN is the one interface of [DatapathTUN].
type TUN struct {
	Name string `mapstructure:"name"`
}

// Datapath says how packets reach the gateway.
type Datapath string

// The datapaths, as the file spells them.
const (
	DatapathAuto   Datapath = "auto"   // the fastest that the host allows
	DatapathPacket Datapath = "packet" // packet sockets on both interfaces
	DatapathTUN    Datapath = "tun"    // one TUN interface; routes into it are the operator's
)

// API is where the gateway answers its operator.
type API struct {
	Listen    []string `mapstructure:"listen"`    // "unix:/path" or "HOST:PORT", HOST an IP address or localhost
	TokenFile string   `mapstructure:"tokenFile"` // absolute path; not empty where a listener is neither unix nor loopback
	TLS       TLS      `mapstructure:"tls"`
}

// TLS is the certificate shown by listeners that are neither unix nor loopback:
// both files, or none.
type TLS struct {
	CertFile string `mapstructure:"certFile"` // absolute path, PEM
	KeyFile  string `mapstructure:"keyFile"`  // absolute path, PEM
}

// Log is how the gateway speaks.
type Log struct {
	Level  string `mapstructure:"level"`  // debug, info, warn or error
	Format string `mapstructure:"format"` // text or json
}

// Reload is what makes the gateway read its file again, SIGHUP aside.
type Reload struct {
	WatchFile bool `mapstructure:"watchFile"` // that the file changes
}

// FlowRecords is who is told of every flow that begins and ends; nobody by default.
type FlowRecords struct {
	File  RecordFile `mapstructure:"file"`
	IPFIX IPFIX      `mapstructure:"ipfix"`
}

// RecordFile is a file of flow records, which is replaced when it is full.
type RecordFile struct {
	Path        string `mapstructure:"path"`        // absolute; empty: no file
	MaxSizeInMB int    `mapstructure:"maxSizeInMB"` // 1–10,000, of 2^20 bytes
	MaxFiles    int    `mapstructure:"maxFiles"`    // 1–1,000 full ones that are kept
}

// IPFIX is a collector of flow records (RFC 7011, RFC 8158).
type IPFIX struct {
	Collector           string `mapstructure:"collector"`           // "HOST:PORT", HOST an IP address; empty: none
	ObservationDomainID int    `mapstructure:"observationDomainId"` // 0–4,294,967,295
	Protocol            string `mapstructure:"protocol"`            // udp or tcp
}

// Timers are the waiting times that no rule carries; each is above 0 and at most 24 h.
type Timers struct {
	TCPHalfOpen     time.Duration `mapstructure:"tcpHalfOpen"`     // a SYN without an answer
	TCPFinHold      time.Duration `mapstructure:"tcpFinHold"`      // after a FIN from both ends
	TCPResetHold    time.Duration `mapstructure:"tcpResetHold"`    // after an acceptable RST
	UDPLoadBalanced time.Duration `mapstructure:"udpLoadBalanced"` // idle, UDP of a load-balancing rule
	ICMP            time.Duration `mapstructure:"icmp"`            // idle, ICMP echo

	// UDPInboundRefresh: a datagram from the outside keeps an outbound UDP flow alive,
	// as one from the inside always does (RFC 4787 REQ-6).
	UDPInboundRefresh bool `mapstructure:"udpInboundRefresh"`
}
