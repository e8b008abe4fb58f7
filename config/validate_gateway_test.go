package config

import (
	"strings"
	"testing"
)

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

func TestAPI(t *testing.T) {
	listen := func(second string) string {
		return with(`api: { listen: [ "unix:/run/a.sock", "` + second + `" ] }`)
	}
	const path = "api.listen[1]: "
	const noToken = " is neither a unix socket nor loopback; listeners with a token are not supported by this version"
	run(t, []problemCase{
		{"every address", listen("0.0.0.0:9180"), []string{path + "0.0.0.0:9180" + noToken}},
		{"no host", listen(":9180"), []string{path + ":9180" + noToken}},
		{"another host", listen("gateway.example:9180"), []string{path + "gateway.example:9180" + noToken}},
		{"every IPv6 address", listen("[::]:9180"), []string{path + "[::]:9180" + noToken}},
		{"loopbacks", with(`api: { listen: [ "127.8.8.8:1", "[::1]:65535", "localhost:9180", "[::ffff:127.0.0.1]:1" ] }`), nil},
		{"none", with("api: { listen: [] }"), nil},
		{"no port", listen("127.0.0.1"), []string{path + `"127.0.0.1" is neither unix:/PATH nor HOST:PORT`}},
		{"URL", listen("http://127.0.0.1:9180"), []string{path + `"http://127.0.0.1:9180" is neither unix:/PATH nor HOST:PORT`}},
		{"port 0", listen("127.0.0.1:0"), []string{path + `"127.0.0.1:0" has no port in 1–65535`}},
		{"port by name", listen("127.0.0.1:http"), []string{path + `"127.0.0.1:http" has no port in 1–65535`}},
		{"port high", listen("127.0.0.1:65536"), []string{path + `"127.0.0.1:65536" has no port in 1–65535`}},
		{"relative socket", listen("unix:api.sock"), []string{path + `"api.sock" is not an absolute path`}},
		{"long socket", listen("unix:/" + strings.Repeat("a", 107)),
			[]string{path + `"/` + strings.Repeat("a", 59) + `"… is longer than the 107 bytes of a socket's path`}},
		{"longest socket", listen("unix:/" + strings.Repeat("a", 106)), nil},
		{"twice", listen("unix:/run/a.sock"), []string{path + `"unix:/run/a.sock" is api.listen[0] already`}},
		{"token", with("api: { tokenFile: /etc/token }"), []string{"api.tokenFile: not supported by this version"}},
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
