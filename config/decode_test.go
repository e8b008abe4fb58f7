package config

import "testing"

func TestUnknownKeys(t *testing.T) {
	run(t, []problemCase{
		{"at the top", with("colour: red"), []string{"colour: unknown key"}},
		{"what the program keeps beside the tree", with("origin: { file: a, root: {} }", "file: b"),
			[]string{"file: unknown key", "origin: unknown key"}},
		{"without a value", with("colour:", "shapes: {}"), []string{"colour: unknown key", "shapes: unknown key"}},
		{"with a dot in it", with(`"log.level": debug`), []string{`"log.level": unknown key`}},
		{"not text", with("7: 1"), []string{"7: unknown key"}},
		{"with a line break", with(`"a\nb": 1`), []string{`"a\nb": unknown key`}},
		{"empty", with(`"": 1`), []string{`"": unknown key`}},
		{"in a section of a section", with("gateway: { inside: { interface: eth1, mtu: 9000 }, outside: { interface: eth0 } }"),
			[]string{"gateway.inside.mtu: unknown key"}},
		{"in a list", with("backendAddressPools: [ { name: vms }, { name: dbs, Weight: 1 } ]"),
			[]string{"backendAddressPools[1].Weight: unknown key"}},
		{"singular for plural", with("outboundRules: [ { name: egress, frontendIPConfigurations: [ public ], frontendIPConfiguration: public, backendAddressPool: vms, protocol: All } ]"),
			[]string{"outboundRules[0].frontendIPConfiguration: unknown key, did you mean frontendIPConfigurations?"}},
		{"a typing error", with("outboundRules: [ { name: egress, frontendIPConfigurations: [ public ], backendAddressPool: vms, protocol: All, idletimoutinminute: 5 } ]"),
			[]string{"outboundRules[0].idletimoutinminute: unknown key, did you mean idleTimeoutInMinutes?"}},
		{"short words are not guessed at", with("gateway: { inside: { interface: eth1 }, outside: { interface: eth0 }, tap: {} }"),
			[]string{"gateway.tap: unknown key"}},
		{"one key in two spellings", with("log: { level: info, Level: debug }"),
			[]string{"log.level: given twice, as Level and level; letter case does not count"}},
		{"a known key in another letter case", with("LOG: { LEVEL: info }"), nil},
	})
}

func TestWrongTypes(t *testing.T) {
	const rule = "outboundRules: [ { name: egress, frontendIPConfigurations: [ public ], backendAddressPool: vms, protocol: All, "
	run(t, []problemCase{
		{"quoted number", with(rule + `idleTimeoutInMinutes: "4" } ]`),
			[]string{`outboundRules[0].idleTimeoutInMinutes: "4" is text; write 4 without quotes`}},
		{"word for a number", with(rule + "idleTimeoutInMinutes: four } ]"),
			[]string{`outboundRules[0].idleTimeoutInMinutes: "four" is not a whole number`}},
		{"fraction", with(rule + "allocatedOutboundPorts: 8.5 } ]"),
			[]string{"outboundRules[0].allocatedOutboundPorts: 8.5 is not a whole number"}},
		{"infinity", with(rule + "allocatedOutboundPorts: .inf } ]"),
			[]string{"outboundRules[0].allocatedOutboundPorts: +Inf is not a whole number"}},
		{"huge number", with(rule + "allocatedOutboundPorts: 18446744073709551615 } ]"),
			[]string{"outboundRules[0].allocatedOutboundPorts: 18446744073709551615 is too large"}},
		{"list for a number", with(rule + "allocatedOutboundPorts: [ 8 ] } ]"),
			[]string{"outboundRules[0].allocatedOutboundPorts: a list is not a whole number"}},
		{"whole number written as a fraction", with(rule + "allocatedOutboundPorts: 8.0 } ]"), nil},
		{"quoted boolean", with(rule + `enableTcpReset: "true" } ]`),
			[]string{`outboundRules[0].enableTcpReset: "true" is text; write true without quotes`}},
		{"YAML 1.1 boolean", with(rule + "enableTcpReset: yes } ]"),
			[]string{`outboundRules[0].enableTcpReset: "yes" is neither true nor false`}},
		{"number for a boolean", with(rule + "enableTcpReset: 1 } ]"),
			[]string{"outboundRules[0].enableTcpReset: 1 is neither true nor false"}},
		{"duration without a unit", with("timers: { icmp: 30 }"),
			[]string{"timers.icmp: 30 has no unit; write 30s for seconds"}},
		{"no duration", with("timers: { icmp: soon, tcpFinHold: 1.5, tcpHalfOpen: { s: 1 } }"), []string{
			"timers.tcpHalfOpen: a map is not a duration such as 30s or 4m",
			"timers.tcpFinHold: 1.5 is not a duration such as 30s or 4m",
			`timers.icmp: "soon" is not a duration such as 30s or 4m`,
		}},
		{"number for text", with("backendAddressPools: [ { name: 7 }, { name: vms } ]"),
			[]string{`backendAddressPools[0].name: 7 is not text; write "7"`}},
		{"bytes for text", with("backendAddressPools: [ { name: !!binary /w== }, { name: vms } ]"),
			[]string{`backendAddressPools[0].name: "\xff" is not UTF-8`}},
		{"map for text", with("log: { level: { a: 1 } }"),
			[]string{"log.level: a map is not text"}},
		{"text for a list", with("backendAddressPools: [ { name: vms, addresses: 10.0.0.1 } ]"),
			[]string{`backendAddressPools[0].addresses: "10.0.0.1" is not a list; write [ "10.0.0.1" ]`}},
		{"map for a list", with("backendAddressPools: { name: vms }"), []string{
			"backendAddressPools: a map is not a list; each element needs its own dash",
			`outboundRules[0].backendAddressPool: "vms" is not in backendAddressPools`,
		}},
		{"empty element", with("backendAddressPools: [ { name: vms, addresses: [ 10.0.0.1, null ] } ]"),
			[]string{"backendAddressPools[0].addresses: element 1 is empty"}},
		{"list for a map", with("log: [ level ]"),
			[]string{"log: a list is not a map of keys"}},
		{"number for an address", with("backendAddressPools: [ { name: vms, addresses: [ 10.5 ] } ]"),
			[]string{"backendAddressPools[0].addresses[0]: 10.5 is not an IPv4 address or prefix"}},
		{"a novel for an address", with("backendAddressPools: [ { name: vms, addresses: [ " + longWord + " ] } ]"),
			[]string{`backendAddressPools[0].addresses[0]: "` + longWord[:60] + `"… is not an IPv4 address`}},
	})
}

const longWord = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestWrongTypesInTOML(t *testing.T) {
	got := problemsOf(t, "toml", "[gateway]\nstateDir = 1979-05-27\nworkers = 1979-05-27T07:32:00Z\n")
	if got[0] != "gateway.workers: a date is not a whole number" || got[1] != "gateway.stateDir: a date is not text" {
		t.Errorf("got %q", got)
	}
}

func TestAddresses(t *testing.T) {
	pool := func(address string) string {
		return with(`backendAddressPools: [ { name: vms, addresses: [ "` + address + `" ] } ]`)
	}
	frontend := func(key, address string) string {
		return with("frontendIPConfigurations: [ { name: public, " + key + `: "` + address + `" } ]`)
	}
	const member, single, prefix = "backendAddressPools[0].addresses[0]: ",
		"frontendIPConfigurations[0].publicIPAddress: ", "frontendIPConfigurations[0].publicIPPrefix: "
	run(t, []problemCase{
		{"no address", pool("ten"), []string{member + `"ten" is not an IPv4 address`}},
		{"empty", pool(""), []string{member + `"" is not an IPv4 address`}},
		{"leading zero", pool("10.0.0.01"), []string{member + `"10.0.0.01" is not an IPv4 address`}},
		{"no prefix", pool("10.0.0.0/33"), []string{member + `"10.0.0.0/33" is not an IPv4 prefix`}},
		{"host bits", pool("10.0.0.130/25"), []string{member + "10.0.0.130/25 has host bits set; its prefix is 10.0.0.128/25"}},
		{"IPv6", pool("2001:db8::1"), []string{member + "2001:db8::1: IPv6 is not supported yet"}},
		{"IPv6 with a zone", pool("fe80::1%eth0"), []string{member + "fe80::1: IPv6 is not supported yet"}},
		{"IPv6 prefix", pool("2001:db8::/64"), []string{member + "2001:db8::/64: IPv6 is not supported yet"}},
		{"IPv4 in IPv6", pool("::ffff:10.0.0.1"), []string{member + "::ffff:10.0.0.1: IPv6 is not supported yet"}},
		{"loopback", pool("127.0.0.1"), []string{member + "127.0.0.1 is not unicast: it lies in or covers 127.0.0.0/8"}},
		{"unspecified", pool("0.0.0.0"), []string{member + "0.0.0.0 is not unicast: it lies in or covers 0.0.0.0/8"}},
		{"everything", pool("0.0.0.0/0"), []string{member + "0.0.0.0/0 is not unicast: it lies in or covers 0.0.0.0/8"}},
		{"multicast", pool("224.0.0.1"), []string{member + "224.0.0.1 is not unicast: it lies in or covers 224.0.0.0/4"}},
		{"broadcast", pool("255.255.255.255"), []string{member + "255.255.255.255 is not unicast: it lies in or covers 240.0.0.0/4"}},
		{"prefix as a single address", frontend("publicIPAddress", "203.0.113.0/30"),
			[]string{single + "203.0.113.0/30 is a prefix; a single address is needed"}},
		{"single address as a prefix", frontend("publicIPPrefix", "203.0.113.5"),
			[]string{prefix + "203.0.113.5 is a single address; a prefix is written 203.0.113.5/32"}},
		{"IPv6 address as a prefix", frontend("publicIPPrefix", "2001:db8::1"),
			[]string{prefix + `"2001:db8::1" is not an IPv4 prefix`}},
		{"IPv6 frontend", frontend("publicIPAddress", "2001:db8::1"), []string{single + "2001:db8::1: IPv6 is not supported yet"}},
		{"list", with("frontendIPConfigurations: [ { name: public, publicIPAddress: [ 203.0.113.5 ] } ]"),
			[]string{single + "a list is not an IPv4 address or prefix"}},
	})
}
