package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestFrontends(t *testing.T) {
	frontends := func(list string) string { return with("frontendIPConfigurations: [ " + list + " ]") }
	const public = "{ name: public, publicIPAddress: 203.0.113.5 }"
	run(t, []problemCase{
		{"neither", frontends("{ name: public }"),
			[]string{"frontendIPConfigurations[0]: needs exactly one of publicIPAddress, publicIPPrefix and privateIPAddress"}},
		{"both", frontends("{ name: public, publicIPAddress: 203.0.113.5, publicIPPrefix: 203.0.113.64/30 }"),
			[]string{"frontendIPConfigurations[0]: needs exactly one of publicIPAddress, publicIPPrefix and privateIPAddress"}},
		{"public and private", frontends(public + ", { name: b, publicIPAddress: 203.0.113.6, privateIPAddress: 10.9.0.4 }"),
			[]string{"frontendIPConfigurations[1]: needs exactly one of publicIPAddress, publicIPPrefix and privateIPAddress"}},
		{"internal", frontends(public + ", { name: internal, privateIPAddress: 10.9.0.4 }"), nil},
		{"an internal address twice", frontends(public + ", { name: a, privateIPAddress: 10.9.0.4 }, { name: b, privateIPAddress: 10.9.0.4 }"),
			[]string{`frontendIPConfigurations[2].privateIPAddress: 10.9.0.4 overlaps 10.9.0.4 of frontend "a"`}},
		{"an internal address in a pool", frontends(public + ", { name: internal, privateIPAddress: 10.0.0.4 }"),
			[]string{`backendAddressPools[0].addresses[0]: 10.0.0.0/24 overlaps 10.0.0.4 of frontend "internal"`}},
		{"internal, of an outbound rule", frontends("{ name: public, privateIPAddress: 10.9.0.4 }"),
			[]string{`outboundRules[0].frontendIPConfigurations[0]: "public" is internal; an outbound rule needs public frontends`}},
		{"nameless", frontends(public + ", { publicIPAddress: 203.0.113.6 }"),
			[]string{"frontendIPConfigurations[1].name: is required"}},
		{"two of one name", frontends(public + ", { name: public, publicIPAddress: 203.0.113.6 }"),
			[]string{`frontendIPConfigurations[1].name: "public" is the name of frontendIPConfigurations[0] already`}},
		{"names differ in letter case", frontends(public + ", { name: Public, publicIPAddress: 203.0.113.6 }"), nil},
		{"one address twice", frontends(public + ", { name: b, publicIPAddress: 203.0.113.5 }"),
			[]string{`frontendIPConfigurations[1].publicIPAddress: 203.0.113.5 overlaps 203.0.113.5 of frontend "public"`}},
		{"prefix over an address", frontends(public + ", { name: b, publicIPPrefix: 203.0.113.4/31 }"),
			[]string{`frontendIPConfigurations[1].publicIPPrefix: 203.0.113.4/31 overlaps 203.0.113.5 of frontend "public"`}},
		{"address in a prefix", frontends("{ name: public, publicIPPrefix: 203.0.113.0/24 }, { name: b, publicIPAddress: 203.0.113.5 }"),
			[]string{`frontendIPConfigurations[1].publicIPAddress: 203.0.113.5 overlaps 203.0.113.0/24 of frontend "public"`}},
		{"neighbours", frontends(public + ", { name: b, publicIPPrefix: 203.0.113.6/31 }"), nil},
		{"too wide", frontends("{ name: public, publicIPPrefix: 198.18.0.0/15 }"),
			[]string{"frontendIPConfigurations[0].publicIPPrefix: 198.18.0.0/15 is wider than a /16"}},
	})
}

func TestPools(t *testing.T) {
	pools := func(list string) string { return with("backendAddressPools: [ " + list + " ]") }
	run(t, []problemCase{
		{"nameless", pools("{ name: vms }, { addresses: [ 10.0.0.1 ] }"), []string{"backendAddressPools[1].name: is required"}},
		{"two of one name", pools("{ name: vms }, { name: vms }"),
			[]string{`backendAddressPools[1].name: "vms" is the name of backendAddressPools[0] already`}},
		{"an address twice", pools("{ name: vms, addresses: [ 10.0.0.1, 10.0.0.1 ] }"),
			[]string{"backendAddressPools[0].addresses[1]: 10.0.0.1 overlaps 10.0.0.1 of the same pool"}},
		{"a prefix over an address", pools("{ name: vms, addresses: [ 10.0.0.1, 10.0.0.0/30 ] }"),
			[]string{"backendAddressPools[0].addresses[1]: 10.0.0.0/30 overlaps 10.0.0.1 of the same pool"}},
		{"a frontend's address", pools("{ name: vms, addresses: [ 10.0.0.1, 203.0.113.5 ] }"),
			[]string{`backendAddressPools[0].addresses[1]: 203.0.113.5 overlaps 203.0.113.5 of frontend "public"`}},
		{"a prefix over a frontend", pools("{ name: vms, addresses: [ 203.0.113.64/29 ] }"),
			[]string{`backendAddressPools[0].addresses[0]: 203.0.113.64/29 overlaps 203.0.113.64/30 of frontend "block"`}},
		{"shared addresses", pools("{ name: vms, addresses: [ 10.0.0.1 ] }, { name: b, addresses: [ 10.0.0.0/24 ] }"), nil},
		{"empty", pools("{ name: vms, addresses: [] }"), nil},
		{"drain period low", pools("{ name: vms, drainPeriodInSeconds: -1 }"), []string{"backendAddressPools[0].drainPeriodInSeconds: -1 is outside 0–86400"}},
		{"drain period high", pools("{ name: vms, drainPeriodInSeconds: 86401 }"), []string{"backendAddressPools[0].drainPeriodInSeconds: 86401 is outside 0–86400"}},
		{"drain period at its end", pools("{ name: vms, drainPeriodInSeconds: 86400 }"), nil},
		{"too large", pools("{ name: vms, addresses: [ 10.0.0.0/16, 10.1.0.0 ] }"),
			[]string{"backendAddressPools[0].addresses: 65537 addresses are more than the 65536 that a pool may have",
				"outboundRules[0].allocatedOutboundPorts: SpecifiedAllocatedOutboundPortsForOutboundRuleExceedsTotalNumberOfAvailablePorts: " +
					"65537 members × 32 ports each exceed the 64000 available (64000 × 1 frontend IPs − 8 × 0 blocks with a rule's port)"}},
	})
}

// section builds one whose elements are the given ones, each the keys in which
// it differs from the pairs of a valid one.
func section(name string, valid []string, elements ...string) string {
	lines := []string{}
	for _, e := range elements {
		e = strings.TrimSuffix(e, "; ")
		pairs := strings.Split(e, "; ")
		for _, pair := range valid {
			if key := strings.SplitAfter(pair, ":")[0]; !strings.Contains("; "+e, "; "+key) {
				pairs = append(pairs, pair)
			}
		}
		lines = append(lines, "{ "+strings.Trim(strings.Join(pairs, ", "), ", ")+" }")
	}
	return name + ": [ " + strings.Join(lines, ", ") + " ]"
}

// outbound builds a file with the given outbound rules.
func outbound(profile string, rules ...string) string {
	valid := []string{"name: egress", "frontendIPConfigurations: [ public ]", "backendAddressPool: vms", "protocol: All"}
	return with("profile: "+profile, section("outboundRules", valid, rules...))
}

func TestOutboundRules(t *testing.T) {
	const first, second = "outboundRules[0]", "outboundRules[1]"
	const shared = "MoreThanOneOutboundRuleUsingSameFrontendIPConfigurationAndProtocolIsNotSupported: "
	run(t, []problemCase{
		{"nameless", outbound("azure", `name: ""`), []string{first + ".name: is required"}},
		{"two of one name", outbound("azure", "name: a", "name: a; backendAddressPool: dbs; frontendIPConfigurations: [ block ]"),
			[]string{second + `.name: "a" is the name of outboundRules[0] already`}},
		{"no frontends", outbound("azure", "frontendIPConfigurations: []"),
			[]string{first + ".frontendIPConfigurations: at least one frontend is needed"}},
		{"unknown frontend", outbound("azure", "frontendIPConfigurations: [ public, x ]"),
			[]string{first + `.frontendIPConfigurations[1]: "x" is not in frontendIPConfigurations`}},
		{"nameless frontend", outbound("azure", `frontendIPConfigurations: [ "" ]`),
			[]string{first + ".frontendIPConfigurations[0]: is required: a name from frontendIPConfigurations"}},
		{"a frontend twice", outbound("azure", "frontendIPConfigurations: [ public, public ]"),
			[]string{first + `.frontendIPConfigurations[1]: "public" is frontendIPConfigurations[0] already`}},
		{"unknown pool", outbound("azure", "backendAddressPool: x"),
			[]string{first + `.backendAddressPool: "x" is not in backendAddressPools`}},
		{"no pool", outbound("azure", `backendAddressPool: ""`),
			[]string{first + ".backendAddressPool: is required: a name from backendAddressPools"}},
		{"no protocol", outbound("azure", "protocol: null"), []string{first + ".protocol: is required: one of Tcp, Udp, All"}},
		{"unknown protocol", outbound("azure", "protocol: Icmp"), []string{first + `.protocol: "Icmp" is not one of Tcp, Udp, All`}},
		{"protocol in capitals", outbound("azure", "protocol: TCP"), []string{first + `.protocol: "TCP" is written Tcp`}},
		{"two rules, one frontend", outbound("azure", "name: a", "name: b; backendAddressPool: dbs"),
			[]string{second + `.frontendIPConfigurations[0]: ` + shared + `rule "a" has "public" for Tcp already`}},
		{"two rules, one frontend, one common protocol", outbound("azure", "name: a; protocol: Udp", "name: b; backendAddressPool: dbs; frontendIPConfigurations: [ block, public ]"),
			[]string{second + `.frontendIPConfigurations[1]: ` + shared + `rule "a" has "public" for Udp already`}},
		{"two rules, one frontend, two protocols", outbound("azure", "name: a; protocol: Udp", "name: b; protocol: Tcp"), nil},
		{"two rules, one pool", outbound("azure", "name: a", "name: b; frontendIPConfigurations: [ block ]; protocol: Udp"),
			[]string{second + `.backendAddressPool: 10.0.0.0/24 leaves by rule "a" already; an address has one outbound rule per protocol`}},
		{"negative ports", outbound("azure", "allocatedOutboundPorts: -8"), []string{first + ".allocatedOutboundPorts: -8 is negative"}},
	})
}

func TestMemberWithTwoRules(t *testing.T) {
	file := func(a, b string) string {
		return with("backendAddressPools: [ { name: a, addresses: [ "+a+" ] }, { name: b, addresses: [ "+b+" ] } ]",
			"outboundRules: [ { name: a, frontendIPConfigurations: [ public ], backendAddressPool: a, protocol: All }, "+
				"{ name: b, frontendIPConfigurations: [ block ], backendAddressPool: b, protocol: Tcp } ]")
	}
	already := func(member string) []string {
		return []string{"outboundRules[1].backendAddressPool: " + member + ` leaves by rule "a" already; an address has one outbound rule per protocol`}
	}
	run(t, []problemCase{
		{"the same", file("10.0.0.1", "10.0.0.2, 10.0.0.1"), already("10.0.0.1")},
		{"in the first's prefix", file("10.0.0.0/24", "10.0.0.2"), already("10.0.0.2")},
		{"in the second's prefix", file("10.0.0.2", "10.0.0.0/24"), already("10.0.0.2")},
		{"not decoded", file("x", "y"), []string{
			`backendAddressPools[0].addresses[0]: "x" is not an IPv4 address`,
			`backendAddressPools[1].addresses[0]: "y" is not an IPv4 address`,
		}},
		{"apart", file("10.0.0.0/24", "10.0.1.0/24"), nil},
	})
}

func TestAllocatedPorts(t *testing.T) {
	const path = "outboundRules[0].allocatedOutboundPorts: "
	const eight = path + "SpecifiedAllocatedOutboundPortsForOutboundRuleIsNotAMultipleOfEight: "
	tooMany := func(members, ports, available, ips, rules int) string {
		return fmt.Sprintf("%sSpecifiedAllocatedOutboundPortsForOutboundRuleExceedsTotalNumberOfAvailablePorts: "+
			"%d members × %d ports each exceed the %d available (64000 × %d frontend IPs − 8 × %d blocks with a rule's port)",
			path, members, ports, available, ips, rules)
	}
	notAllowed := func(ports int) string {
		return fmt.Sprintf("%sSpecifiedAllocatedOutboundPortsForOutboundRuleExceedsTotalNumberOfAllowedPortsPerRule: "+
			"%d ports for each member exceed the 64000 of a rule with 1 frontend IPs", path, ports)
	}
	file := func(members, frontends, ports string, natPorts ...string) string {
		inbound := []string{"inboundNatRules:"}
		for i, p := range natPorts {
			inbound = append(inbound, fmt.Sprintf("  - { name: r%d, %s, backendAddress: 10.9.0.1, backendPort: 22 }", i, p))
		}
		return with("backendAddressPools: [ { name: vms, addresses: [ "+members+" ] } ]",
			"frontendIPConfigurations: [ { name: public, publicIPAddress: 203.0.113.5 }, { name: b, publicIPAddress: 203.0.113.6 }, { name: block, publicIPPrefix: 203.0.113.64/30 } ]",
			"outboundRules: [ { name: egress, frontendIPConfigurations: [ "+frontends+" ], backendAddressPool: vms, protocol: All, allocatedOutboundPorts: "+ports+" } ]",
			strings.Join(inbound, "\n"))
	}
	nat := func(frontend, protocol string, port int) string {
		return fmt.Sprintf("frontendIPConfiguration: %s, protocol: %s, frontendPort: %d", frontend, protocol, port)
	}
	run(t, []problemCase{
		{"not a multiple", file("10.0.0.1", "public", "1020"), []string{eight + "1020 is not a multiple of 8; use 1016 or 1024"}},
		{"all of one address", file("10.0.0.1", "public", "64000"), nil},
		{"above one address", file("10.0.0.1", "public", "64008"), []string{notAllowed(64008)}},
		{"both wrong", file("10.0.0.1", "public", "64001"),
			[]string{eight + "64001 is not a multiple of 8; use 64000 or 64008", notAllowed(64001)}},
		{"just fits", file("10.0.0.0/26", "public", "1000"), nil},
		{"a block more does not", file("10.0.0.0/26", "public", "1008"), []string{tooMany(64, 1008, 64000, 1, 0)}},
		{"a prefix counts each address", file("10.0.0.0/26", "block, public", "5000"), nil},
		{"an inbound rule takes a block", file("10.0.0.0/26", "public", "1000", nat("public", "Tcp", 2222)),
			[]string{tooMany(64, 1000, 63992, 1, 1)}},
		{"a port for two protocols takes one", file("10.0.0.1, 10.0.0.2", "public", "31992",
			nat("public", "Tcp", 2222), nat("public", "Udp", 2222), nat("public", "Tcp", 65023)), nil},
		{"ports apart take two", file("10.0.0.1, 10.0.0.2", "public", "32000", nat("public", "Tcp", 2222), nat("public", "Udp", 1024)),
			[]string{tooMany(2, 32000, 63984, 1, 2)}},
		{"ports outside take none", file("10.0.0.0/26", "public", "1000", nat("public", "Tcp", 1023), nat("public", "Tcp", 65024)), nil},
		{"ports in one block take one", file("10.0.0.1, 10.0.0.2", "public", "31992",
			nat("public", "Tcp", 2224), nat("public", "Udp", 2231), nat("public", "Tcp", 2227)), nil},
		{"but not in the next", file("10.0.0.1, 10.0.0.2", "public", "31992", nat("public", "Tcp", 2223), nat("public", "Tcp", 2224), nat("public", "Tcp", 2232)),
			[]string{tooMany(2, 31992, 63976, 1, 3)}},
		{"all but a block", file("10.0.0.1", "public", "64000", nat("public", "Tcp", 2222)), []string{tooMany(1, 64000, 63992, 1, 1)}},
		{"another frontend's take none", file("10.0.0.0/26", "public", "1000", nat("b", "Tcp", 2222)), nil},
		{"an empty pool counts as one member", file("", "public", "64008"), []string{notAllowed(64008)}},
		{"no overflow", file("10.0.0.0/16", "public", "9223372036854775800"),
			[]string{notAllowed(9223372036854775800)}},
		{"the table beyond its end fits", file("10.0.0.0/22, 10.0.4.0/23, 10.0.6.0/24", "public", "0"), nil},
		{"until it does not", file("10.0.0.0/21", "public", "0"), []string{tooMany(2048, 32, 64000, 1, 0)}},
		{"rules whose frontends are unknown are not counted", file("10.0.0.0/21", "x", "64000"),
			[]string{`outboundRules[0].frontendIPConfigurations[0]: "x" is not in frontendIPConfigurations`}},
	})
}

func TestIdleTimeouts(t *testing.T) {
	const minutes, seconds = "outboundRules[0].idleTimeoutInMinutes: ", "outboundRules[0].idleTimeout: "
	inbound := func(profile, idle string) string {
		return with("profile: "+profile, "inboundNatRules: [ { name: ssh, frontendIPConfiguration: public, protocol: Tcp, "+
			"frontendPort: 22, backendAddress: 10.0.0.1, backendPort: 22, "+idle+" } ]")
	}
	run(t, []problemCase{
		{"azure, outbound, low", outbound("azure", "idleTimeoutInMinutes: 3"), []string{minutes + "3 is outside 4–100 (profile azure)"}},
		{"azure, outbound, high", outbound("azure", "idleTimeoutInMinutes: 101"), []string{minutes + "101 is outside 4–100 (profile azure)"}},
		{"azure, outbound, 0", outbound("azure", "idleTimeoutInMinutes: 0"), []string{minutes + "0 is outside 4–100 (profile azure)"}},
		{"azure, outbound, ends", outbound("azure", "idleTimeoutInMinutes: 4", "name: b; idleTimeoutInMinutes: 100; backendAddressPool: dbs; frontendIPConfigurations: [ block ]"), nil},
		{"azure, inbound, high", inbound("azure", "idleTimeoutInMinutes: 31"),
			[]string{"inboundNatRules[0].idleTimeoutInMinutes: 31 is outside 4–30 (profile azure)"}},
		{"azure, inbound, end", inbound("azure", "idleTimeoutInMinutes: 30"), nil},
		{"azure-2026, outbound, high", outbound("azure-2026", "idleTimeoutInMinutes: 121"), []string{minutes + "121 is outside 4–120 (profile azure-2026)"}},
		{"azure-2026, outbound, end", outbound("azure-2026", "idleTimeoutInMinutes: 120"), nil},
		{"azure-2026, inbound, high", inbound("azure-2026", "idleTimeoutInMinutes: 101"),
			[]string{"inboundNatRules[0].idleTimeoutInMinutes: 101 is outside 4–100 (profile azure-2026)"}},
		{"azure-2026, inbound, end", inbound("azure-2026", "idleTimeoutInMinutes: 100"), nil},
		{"custom, low", outbound("custom", "idleTimeoutInMinutes: 0"), []string{minutes + "0 is outside 1–1440 (profile custom)"}},
		{"custom, high", outbound("custom", "idleTimeoutInMinutes: 1441"), []string{minutes + "1441 is outside 1–1440 (profile custom)"}},
		{"custom, seconds low", outbound("custom", "idleTimeout: 999ms"), []string{seconds + "999ms is outside 1s–24h (profile custom)"}},
		{"custom, seconds high", outbound("custom", "idleTimeout: 24h1s"), []string{seconds + "24h0m1s is outside 1s–24h (profile custom)"}},
		{"custom, both", outbound("custom", "idleTimeout: 90s; idleTimeoutInMinutes: 4"),
			[]string{seconds + "idleTimeoutInMinutes is given too; keep one of them"}},
		{"seconds elsewhere", outbound("azure", "idleTimeout: 5m"), []string{seconds + "only profile custom has this key; use idleTimeoutInMinutes"}},
		{"inbound seconds elsewhere", inbound("azure-2026", "idleTimeout: 5m"),
			[]string{"inboundNatRules[0].idleTimeout: only profile custom has this key; use idleTimeoutInMinutes"}},
		{"of an unknown profile nothing is said", outbound("gcp", "idleTimeoutInMinutes: 0; idleTimeout: 0s"),
			[]string{`profile: "gcp" is not one of azure, azure-2026, custom`}},
	})
}

func TestInboundNATRules(t *testing.T) {
	const first, second = "inboundNatRules[0]", "inboundNatRules[1]"
	rule := func(name, frontend, protocol string, port int, address string, backendPort int) string {
		return fmt.Sprintf("{ name: %q, frontendIPConfiguration: %q, protocol: %q, frontendPort: %d, backendAddress: %s, backendPort: %d }",
			name, frontend, protocol, port, address, backendPort)
	}
	rules := func(list ...string) string { return with("inboundNatRules: [ " + strings.Join(list, ", ") + " ]") }
	ssh := rule("ssh", "public", "Tcp", 22, "10.0.0.1", 22)
	run(t, []problemCase{
		{"fine without outbound rules", with("outboundRules: []", "inboundNatRules: [ "+ssh+" ]"), nil},
		{"nameless", rules(rule("", "public", "Tcp", 22, "10.0.0.1", 22)), []string{first + ".name: is required"}},
		{"two of one name", rules(ssh, rule("ssh", "public", "Tcp", 23, "10.0.0.1", 23)),
			[]string{second + `.name: "ssh" is the name of inboundNatRules[0] already`}},
		{"unknown frontend", rules(rule("ssh", "x", "Tcp", 22, "10.0.0.1", 22)),
			[]string{first + `.frontendIPConfiguration: "x" is not in frontendIPConfigurations`}},
		{"no frontend", rules(rule("ssh", "", "Tcp", 22, "10.0.0.1", 22)),
			[]string{first + ".frontendIPConfiguration: is required: a name from frontendIPConfigurations"}},
		{"a prefix", rules(rule("ssh", "block", "Tcp", 22, "10.0.0.1", 22)),
			[]string{first + `.frontendIPConfiguration: "block" is the prefix 203.0.113.64/30; an inbound NAT rule needs a frontend with one address`}},
		{"All", rules(rule("ssh", "public", "All", 22, "10.0.0.1", 22)), []string{first + ".protocol: All has no single port; use Tcp or Udp"}},
		{"no protocol", rules(rule("ssh", "public", "", 22, "10.0.0.1", 22)), []string{first + ".protocol: is required: one of Tcp, Udp"}},
		{"protocol in small letters", rules(rule("ssh", "public", "tcp", 22, "10.0.0.1", 22)), []string{first + `.protocol: "tcp" is written Tcp`}},
		{"ports low", rules(rule("ssh", "public", "Tcp", 0, "10.0.0.1", 0)),
			[]string{first + ".frontendPort: 0 is outside 1–65534", first + ".backendPort: 0 is outside 1–65535"}},
		{"ports high", rules(rule("ssh", "public", "Tcp", 65535, "10.0.0.1", 65536)),
			[]string{first + ".frontendPort: 65535 is outside 1–65534", first + ".backendPort: 65536 is outside 1–65535"}},
		{"ports at their ends", rules(rule("a", "public", "Tcp", 1, "10.0.0.1", 1), rule("b", "public", "Tcp", 65534, "10.0.0.1", 65535)), nil},
		{"no backend", rules(`{ name: ssh, frontendIPConfiguration: public, protocol: Tcp, frontendPort: 22, backendPort: 22 }`),
			[]string{first + ".backendAddress: is required, or backendAddressPool with a range of frontend ports"}},
		{"an IPv6 backend", rules(rule("ssh", "public", "Tcp", 22, `"2001:db8::1"`, 22)),
			[]string{first + ".backendAddress: 2001:db8::1: IPv6 is not supported yet"}},
		{"a frontend's address", rules(rule("ssh", "public", "Tcp", 22, "203.0.113.65", 22)),
			[]string{first + `.backendAddress: 203.0.113.65 belongs to frontend "block"`}},
		{"one port twice", rules(ssh, rule("b", "public", "Tcp", 22, "10.0.0.2", 22)),
			[]string{second + `.frontendPort: 22 (Tcp) of "public" belongs to rule "ssh" already`}},
		{"one port for two protocols", rules(ssh, rule("b", "public", "Udp", 22, "10.0.0.2", 22)), nil},
	})
}
