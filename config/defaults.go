package config

import "time"

// defaultIdle is Azure's for every kind of rule.
const defaultIdle = 4 * time.Minute

// Default returns what holds where the file says nothing. The interfaces, the
// frontends, the pools and the rules have no default: to guess which interface
// faces the outside would be to hijack one.
func Default() *Config {
	return &Config{
		Profile: ProfileAzure, // the narrowest ranges: valid under each of Azure's documents
		Gateway: defaultGateway(),
		API: API{
			// The socket for the command line, loopback for a scraper or a
			// browser on the machine: neither is reachable from the network.
			Listen: []string{"unix:/run/tidegate/api.sock", "127.0.0.1:9180"},
		},
		Log: Log{Level: "info", Format: "text"},
		FlowRecords: FlowRecords{
			File:  RecordFile{MaxSizeInMB: 100, MaxFiles: 10},     // with the one being written 1.1 GB, which a server has to spare
			IPFIX: IPFIX{ObservationDomainID: 1, Protocol: "udp"}, // 0 is no domain in particular (RFC 7011 §3.1)
		},
		Timers: defaultTimers(),
	}
}

func defaultGateway() Gateway {
	return Gateway{
		Datapath: DatapathAuto,
		TUN:      TUN{Name: "tide0"},
		Workers:  0,       // one per CPU
		MaxFlows: 1 << 20, // at most 192 bytes each: 192 MiB
		StateDir: "/var/lib/tidegate",
	}
}

// defaultTimers takes Azure NAT Gateway's published values where it has one,
// because Azure Load Balancer publishes none.
func defaultTimers() Timers {
	return Timers{
		TCPHalfOpen:       30 * time.Second,
		TCPFinHold:        65 * time.Second, // just over the 60 s of Linux's TIME_WAIT
		TCPResetHold:      16 * time.Second,
		UDPLoadBalanced:   4 * time.Minute,  // Azure's default idle timeout, not settable there for UDP
		UDPInboundRefresh: true,             // as Azure: any packet of the flow counts
		ICMP:              30 * time.Second, // Google Cloud NAT's; Azure publishes none, RFC 5508 REQ-2 would have 60 s
	}
}

// defaultProbe has the values of Azure's schema; numberOfProbes, of which it
// says nothing, has Terraform's.
func defaultProbe() Probe {
	return Probe{
		IntervalInSeconds:         15,
		NumberOfProbes:            2,
		ProbeThreshold:            1,
		NoHealthyBackendsBehavior: AllProbedDown,
	}
}
