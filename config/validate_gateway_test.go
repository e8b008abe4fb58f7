package config

import "testing"

func TestEmptyFileSaysWhatIsNeeded(t *testing.T) {
	run(t, []problemCase{{"", "# nothing\n", []string{
		"gateway.inside.interface: is required with datapath auto",
		"gateway.outside.interface: is required with datapath auto",
		"frontendIPConfigurations: at least one frontend is needed",
		"outboundRules: at least one rule is needed: here, in inboundNatRules, loadBalancingRules or instancePublicIPs",
	}}})
}

func TestGateway(t *testing.T) {
	gateway := func(keys string) string {
		return with("gateway: { inside: { interface: eth1 }, outside: { interface: eth0 }, " + keys + " }")
	}
	interfaces := func(inside, outside string) string {
		return with(`gateway: { datapath: packet, inside: { interface: "` + inside + `" }, outside: { interface: "` + outside + `" } }`)
	}
	const inside, outside = "gateway.inside.interface: ", "gateway.outside.interface: "
	run(t, []problemCase{
		{"profile", with("profile: gcp"), []string{`profile: "gcp" is not one of azure, azure-2026, custom`}},
		{"profile in another letter case", with("profile: Azure"), []string{`profile: "Azure" is written azure`}},
		{"profile empty", with(`profile: ""`), []string{"profile: is required: one of azure, azure-2026, custom"}},
		{"datapath", gateway("datapath: dpdk"), []string{`gateway.datapath: "dpdk" is not one of auto, packet, tun`}},
		{"datapath ebpf", gateway("datapath: ebpf"),
			[]string{"gateway.datapath: ebpf is not available in this version; use auto, packet or tun"}},
		{"workers", gateway("workers: 257"), []string{"gateway.workers: 257 is outside 0–256"}},
		{"workers negative", gateway("workers: -1"), []string{"gateway.workers: -1 is outside 0–256"}},
		{"workers at its end", gateway("workers: 256"), nil},
		{"maxFlows low", gateway("maxFlows: 1023"), []string{"gateway.maxFlows: 1023 is outside 1024–16777216"}},
		{"maxFlows high", gateway("maxFlows: 16777217"), []string{"gateway.maxFlows: 16777217 is outside 1024–16777216"}},
		{"maxFlows need be no power of two", gateway("maxFlows: 1025"), nil},
		{"stateDir", gateway("stateDir: var/lib"), []string{`gateway.stateDir: "var/lib" is not an absolute path`}},
		{"stateDir empty", gateway(`stateDir: ""`), []string{`gateway.stateDir: "" is not an absolute path`}},
		{"interfaces with packet", interfaces("", ""),
			[]string{inside + "is required with datapath packet", outside + "is required with datapath packet"}},
		{"one interface for both", interfaces("eth0", "eth0"),
			[]string{outside + "eth0 is the inside too; datapath packet needs two interfaces"}},
		{"interface name long", interfaces("abcdefghijklmnop", "abcdefghijklmno"),
			[]string{inside + `"abcdefghijklmnop" is longer than 15 bytes`}},
		{"interface names that the kernel refuses", interfaces("a/b", "a b"),
			[]string{inside + `"a/b" is no interface name`, outside + `"a b" is no interface name`}},
		{"interface names of directories", interfaces(".", ".."),
			[]string{inside + `"." is no interface name`, outside + `".." is no interface name`}},
		{"interface name that is a pattern", gateway(`tun: { name: "tide%d" }`), []string{`gateway.tun.name: "tide%d" is no interface name`}},
		{"tun needs its name", with(`gateway: { datapath: tun, tun: { name: "" } }`),
			[]string{"gateway.tun.name: is required with datapath tun"}},
		{"tun needs no other", with("gateway: { datapath: tun }"), nil},
		{"tun may have both on one", with("gateway: { datapath: tun, inside: { interface: eth0 }, outside: { interface: eth0 } }"), nil},
		{"packet needs no tun", gateway(`datapath: packet, tun: { name: "" }`), nil},
	})
}

func TestLogAndTimers(t *testing.T) {
	run(t, []problemCase{
		{"level", with("log: { level: trace }"), []string{`log.level: "trace" is not one of debug, info, warn, error`}},
		{"level in capitals", with("log: { level: DEBUG }"), []string{`log.level: "DEBUG" is written debug`}},
		{"format", with("log: { format: xml }"), []string{`log.format: "xml" is not one of text, json`}},
		{"timers out of range", with("timers: { tcpHalfOpen: 0s, tcpFinHold: -1s, tcpResetHold: 24h1s, udpLoadBalanced: 0m, icmp: 48h }"), []string{
			"timers.tcpHalfOpen: 0s is not above 0 and at most 24h",
			"timers.tcpFinHold: -1s is not above 0 and at most 24h",
			"timers.tcpResetHold: 24h0m1s is not above 0 and at most 24h",
			"timers.udpLoadBalanced: 0s is not above 0 and at most 24h",
			"timers.icmp: 48h0m0s is not above 0 and at most 24h",
		}},
		{"timers at their ends", with("timers: { tcpHalfOpen: 1ns, tcpFinHold: 24h }"), nil},
	})
}
