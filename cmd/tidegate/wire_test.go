package main

import (
	"testing"

	"tidegate/config"
	"tidegate/nat"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

const wired = `
gateway: { inside: { interface: eth1 }, outside: { interface: eth0 } }
frontendIPConfigurations:
  - { name: one,   publicIPPrefix: 203.0.113.5/32 }
  - { name: block, publicIPPrefix: 203.0.113.64/30 }
backendAddressPools: [ { name: vms, addresses: [ 10.0.0.10, 10.0.0.16/31 ] } ]
outboundRules:
  - { name: egress, frontendIPConfigurations: [ block ], backendAddressPool: vms, protocol: Udp, allocatedOutboundPorts: 64 }
inboundNatRules:
  - { name: ssh, frontendIPConfiguration: one, protocol: Tcp, frontendPort: 2222, backendAddress: 10.0.0.10, backendPort: 22 }
`

func wire(t *testing.T) (*config.Config, *plan) {
	t.Helper()
	c, err := config.Parse("yaml", []byte(wired))
	if err != nil {
		t.Fatal(err)
	}
	return c, newPlan(c, nil)
}

// A frontend of one address may be written as a prefix.
func TestInboundRuleOnAPrefixOfOne(t *testing.T) {
	_, p := wire(t)
	policy, err := nat.NewPolicy(p.nat)
	if err != nil {
		t.Fatal(err)
	}
	rule := policy.Inbound(nat.Endpoint{Addr: packettest.Addr("203.0.113.5"), Port: 2222}, packet.TCP)
	if rule == nil || rule.Backend != (nat.Endpoint{Addr: packettest.Addr("10.0.0.10"), Port: 22}) {
		t.Errorf("the rule is %+v", rule)
	}
}

func TestPlanOfAnOutboundRule(t *testing.T) {
	_, p := wire(t)
	r := p.nat.Outbound[0]
	if len(r.Frontends) != 4 || len(r.Members) != 3 || r.Ports != 64 || len(r.Protocols) != 1 || r.Protocols[0] != packet.UDP {
		t.Errorf("the rule is %+v", r)
	}
	if p.names[packettest.Addr("203.0.113.67")] != "block" {
		t.Error("an address of the prefix does not bear its name")
	}
}

// The guard takes prefixes as they are: one of 65,536 addresses is one entry.
func TestGuardOfPrefixes(t *testing.T) {
	c, p := wire(t)
	g := guard(c, p.needs(c))
	if len(g.Frontends) != 2 || g.Frontends[0].Outbound || !g.Frontends[1].Outbound {
		t.Errorf("the guard is %+v", g.Frontends)
	}
	if in := g.Frontends[0].Inbound; len(in) != 3 || in[0].First != 2222 || in[0].Protocol != packet.TCP {
		t.Errorf("of the inbound rule it guards %+v", in)
	}
}
