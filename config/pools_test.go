package config

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestAdminStates(t *testing.T) {
	entry := func(e string) string { return with("backendAddressPools: [ { name: vms, addresses: [ " + e + " ] } ]") }
	for file, want := range map[string]string{
		"10.0.0.10":                                         "10.0.0.10 None",
		"10.0.0.10/31":                                      "10.0.0.10 None, 10.0.0.11 None",
		"{ ipAddress: 10.0.0.10 }":                          "10.0.0.10 None",
		"{ ipAddress: 10.0.0.10, adminState: }":             "10.0.0.10 None",
		"{ ipAddress: 10.0.0.10, adminState: None }":        "10.0.0.10 None",
		"{ IPADDRESS: 10.0.0.10, adminstate: Up }":          "10.0.0.10 Up",
		"{ adminState: Down, ipAddress: 10.0.0.10/31 }":     "10.0.0.10 Down, 10.0.0.11 Down",
		"10.0.0.1, { ipAddress: 10.0.0.2, adminState: Up }": "10.0.0.1 None, 10.0.0.2 Up",
	} {
		c, err := Parse("yaml", []byte(entry(file)))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		got := ""
		for a, state := range c.BackendAddressPools[0].States() {
			got += fmt.Sprintf(", %s %s", a, state)
		}
		if got != ", "+want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	const path = "backendAddressPools[0].addresses[0]"
	run(t, []problemCase{
		{"state", entry("{ ipAddress: 10.0.0.10, adminState: Drain }"), []string{path + `.adminState: "Drain" is not one of None, Up, Down`}},
		{"state in small letters", entry("{ ipAddress: 10.0.0.10, adminState: down }"), []string{path + `.adminState: "down" is written Down`}},
		{"state of a wrong type", entry("{ ipAddress: 10.0.0.10, adminState: false }"), []string{path + `.adminState: false is not text; write "false"`}},
		{"no address", entry("{ adminState: Down }"), []string{path + ".ipAddress: is required"}},
		{"wrong address", entry("{ ipAddress: ten }"), []string{path + `.ipAddress: "ten" is not an IPv4 address`}},
		{"address of a wrong type", entry("{ ipAddress: [ 10.0.0.1 ] }"), []string{path + ".ipAddress: a list is not an IPv4 address or prefix"}},
		{"host bits", entry("{ ipAddress: 10.0.0.1/24 }"), []string{path + ".ipAddress: 10.0.0.1/24 has host bits set; its prefix is 10.0.0.0/24"}},
		{"unknown key", entry("{ ipAddress: 10.0.0.10, subnet: a }"), []string{path + ".subnet: unknown key"}},
		{"an address in two forms", entry("{ ipAddress: 10.0.0.10 }, 10.0.0.10"),
			[]string{"backendAddressPools[0].addresses[1]: 10.0.0.10 overlaps 10.0.0.10 of the same pool"}},
	})
}

func TestStatesEndEarly(t *testing.T) {
	n := 0
	for range poolOf(9).States() {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("%d members after the third was the last", n)
	}
}

// TestPlaceholders fills in what the file's writer could not know, everywhere.
func TestPlaceholders(t *testing.T) {
	const file = `
gateway: { inside: { interface: <inside> }, outside: { interface: <inside> } }
frontendIPConfigurations:
  - { name: public, publicIPAddress: <publicIPAddress of pip1> }
  - { name: block, publicIPPrefix: <prefix> }
  - { name: internal, privateIPAddress: <privateIPAddress> }
  - { name: known, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ <a>, { ipAddress: <b>, adminState: Up } ] }
outboundRules:
  - { name: egress, frontendIPConfigurations: [ public, block, known ], backendAddressPool: vms, protocol: All, allocatedOutboundPorts: 100000, idleTimeoutInMinutes: <minutes>, enableTcpReset: <reset> }
inboundNatRules:
  - { name: ssh, frontendIPConfiguration: <frontend>, protocol: <protocol>, frontendPort: 22, backendAddress: <vm>, backendPort: 22 }
loadBalancingRules:
  - { name: ha, frontendIPConfiguration: internal, backendAddressPool: vms, protocol: All, frontendPort: 0, backendPort: 0,
      endpointACL: [ { order: 1, action: Permit, remoteSubnet: <office> } ] }
instancePublicIPs:
  - { name: pip, publicIPAddress: <pip>, backendAddress: <vm> }
`
	address := func(s string) string { return fmt.Sprintf("%q is a placeholder: write the address it stands for", s) }
	run(t, []problemCase{{"all", file, []string{
		`gateway.inside.interface: "<inside>" is a placeholder: write the interface it stands for`,
		`gateway.outside.interface: "<inside>" is a placeholder: write the interface it stands for`,
		"frontendIPConfigurations[0].publicIPAddress: " + address("<publicIPAddress of pip1>"),
		"frontendIPConfigurations[1].publicIPPrefix: " + address("<prefix>"),
		"frontendIPConfigurations[2].privateIPAddress: " + address("<privateIPAddress>"),
		"backendAddressPools[0].addresses[0]: " + address("<a>"),
		"backendAddressPools[0].addresses[1].ipAddress: " + address("<b>"),
		`outboundRules[0].idleTimeoutInMinutes: "<minutes>" is a placeholder: write the number it stands for`,
		`outboundRules[0].enableTcpReset: "<reset>" is a placeholder: write true or false`,
		"inboundNatRules[0].backendAddress: " + address("<vm>"),
		`inboundNatRules[0].protocol: "<protocol>" is a placeholder: write one of Tcp, Udp`,
		`inboundNatRules[0].frontendIPConfiguration: "<frontend>" is a placeholder: write the name it stands for, one from frontendIPConfigurations`,
		"loadBalancingRules[0].endpointACL[0].remoteSubnet: " + address("<office>"),
		"instancePublicIPs[0].publicIPAddress: " + address("<pip>"),
		"instancePublicIPs[0].backendAddress: " + address("<vm>"),
	}}})
}

func TestDefaultsOfRulesAndProbes(t *testing.T) {
	c, err := Parse("yaml", []byte(balancing([]string{
		"probes: [ { name: a, protocol: Http, port: 80, requestPath: /, intervalInSeconds: ~ }, { name: b, protocol: Tcp, port: 80, intervalInSeconds: 60 } ]",
	}, "disableOutboundSnat: ~")))
	if err != nil {
		t.Fatal(err)
	}
	r := c.LoadBalancingRules[0]
	if r.LoadDistribution != DistributionDefault || r.EnableFloatingIP || r.DisableOutboundSnat || r.Probe != "" || r.EndpointACL != nil ||
		r.Idle() != 4*time.Minute || r.EnableTCPReset || r.KeepaliveBeforeReset || r.LateReset() {
		t.Errorf("rule is %+v", r)
	}
	if d := c.BackendAddressPools[0].Drain(); d != 0 {
		t.Errorf("drain period is %s", d)
	}
	want := Probe{"a", ProbeHTTP, 80, "/", 15, 2, 1, AllProbedDown}
	if got, ok := c.Probe("a"); !ok || got != want {
		t.Errorf("probe is %+v, want %+v", got, want)
	}
	if _, ok := c.Probe("c"); ok {
		t.Error("a probe that is not there was found")
	}
}

func TestProbeTimes(t *testing.T) {
	for _, c := range []struct {
		protocol          ProbeProtocol
		interval, timeout int
	}{{ProbeTCP, 15, 15}, {ProbeTCP, 60, 60}, {ProbeHTTP, 15, 15}, {ProbeHTTP, 30, 30}, {ProbeHTTP, 31, 30}, {ProbeHTTPS, 5, 5}, {ProbeHTTPS, 60, 30}} {
		p := Probe{Protocol: c.protocol, IntervalInSeconds: c.interval}
		if p.Interval() != time.Duration(c.interval)*time.Second || p.Timeout() != time.Duration(c.timeout)*time.Second {
			t.Errorf("%s every %d s: interval %s, timeout %s", c.protocol, c.interval, p.Interval(), p.Timeout())
		}
	}
}

func TestLateReset(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		reset bool
		late  *bool
		want  bool
	}{{false, nil, false}, {true, nil, true}, {false, &yes, true}, {true, &no, false}} {
		if got := (IdleTimer{EnableTCPReset: c.reset, LateTCPReset: c.late}).LateReset(); got != c.want {
			t.Errorf("reset %v, late %v: %v", c.reset, c.late != nil, got)
		}
	}
}

// TestFullFile looks at what each key of the file became.
func TestFullFile(t *testing.T) {
	c, err := Load("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	web, nat := c.LoadBalancingRules[0], c.NATRules()
	if web.HAPorts() || web.LoadDistribution != DistributionSourceIPProtocol || !web.EnableFloatingIP || !web.DisableOutboundSnat ||
		!web.KeepaliveBeforeReset || web.LateReset() || web.Idle() != 15*time.Minute || web.Probe != "http" {
		t.Errorf("rule is %+v", web)
	}
	if acl := web.EndpointACL[1]; acl.Order != 100 || acl.Action != ActionPermit || acl.RemoteSubnet.String() != "198.51.100.7/32" || acl.Description != "the office" {
		t.Errorf("ACL entry is %+v", acl)
	}
	names := []string{}
	for _, r := range nat {
		names = append(names, fmt.Sprint(r.Name, " ", r.Pooled(), " ", r.FrontendPortRangeStart, "–", r.FrontendPortRangeEnd))
	}
	if want := []string{"ssh false 0–0", "each true 500–599", "scaleset true 50000–50119"}; !slices.Equal(names, want) {
		t.Errorf("NAT rules are %q, want %q", names, want)
	}
	if p := c.Probes[0]; p != (Probe{"http", ProbeHTTPS, 8443, "/healthz", 60, 3, 4, AllProbedUp}) {
		t.Errorf("probe is %+v", p)
	}
	if ip := c.InstancePublicIPs[0]; ip.PublicIPAddress.String() != "203.0.113.9" || ip.BackendAddress.String() != "10.0.0.20" || ip.Idle() != 30*time.Minute || !ip.LateReset() {
		t.Errorf("instance-level address is %+v", ip)
	}
	if p := c.BackendAddressPools[0]; p.Drain() != 30*time.Second || p.Addresses[0].AdminState != AdminDown {
		t.Errorf("pool is %+v", p)
	}
}

func TestHAPorts(t *testing.T) {
	for r, want := range map[*LoadBalancingRule]bool{
		{Protocol: ProtocolAll}: true, {Protocol: ProtocolTCP}: false,
		{Protocol: ProtocolAll, FrontendPort: 1}: false, {Protocol: ProtocolAll, BackendPort: 1}: false,
	} {
		if r.HAPorts() != want {
			t.Errorf("%+v: %v", r, !want)
		}
	}
}
