package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestPooledNATRules(t *testing.T) {
	valid := []string{"name: all", "frontendIPConfiguration: public", "protocol: Tcp", "backendAddressPool: vms",
		"frontendPortRangeStart: 500", "frontendPortRangeEnd: 503", "backendPort: 22"}
	file := func(kind string, rules ...string) string {
		return with(append([]string{"outboundRules: []", section(kind, valid, rules...)}, balanced...)...)
	}
	const rules, pools = "inboundNatRules", "inboundNatPools"
	for _, kind := range []string{rules, pools} {
		first, second := kind+"[0]", kind+"[1]"
		t.Run(kind, func(t *testing.T) {
			run(t, []problemCase{
				{"one port each", file(kind, ""), nil},
				{"ports to spare", file(kind, "frontendPortRangeStart: 1; frontendPortRangeEnd: 65535"), nil},
				{"too few ports", file(kind, "frontendPortRangeEnd: 501"),
					[]string{first + `.frontendPortRangeEnd: 500–501 are 2 ports for the 4 members of "vms": 2 are missing`}},
				{"backwards", file(kind, "frontendPortRangeEnd: 499"), []string{first + ".frontendPortRangeEnd: 499 is before frontendPortRangeStart, 500"}},
				{"ends outside", file(kind, "frontendPortRangeStart: 65535; frontendPortRangeEnd: 65536"),
					[]string{first + ".frontendPortRangeStart: 65535 is outside 1–65534", first + ".frontendPortRangeEnd: 65536 is outside 1–65535"}},
				{"no end", file(kind, "frontendPortRangeEnd: 0"), []string{first + ".frontendPortRangeEnd: 0 is outside 1–65535"}},
				{"a single port too", file(kind, "frontendPort: 22"),
					[]string{first + ".frontendPort: a rule over a pool has frontendPortRangeStart and frontendPortRangeEnd instead"}},
				{"a single backend too", file(kind, "backendAddress: 10.0.0.1"),
					[]string{first + ".backendAddress: a rule over a pool has no single backend; keep backendAddress or backendAddressPool"}},
				{"no pool", file(kind, "backendAddressPool: "), []string{first + ".backendAddressPool: is required: a name from backendAddressPools"}},
				{"unknown pool", file(kind, "backendAddressPool: x"), []string{first + `.backendAddressPool: "x" is not in backendAddressPools`}},
				{"unknown frontend", file(kind, "frontendIPConfiguration: x"), []string{first + `.frontendIPConfiguration: "x" is not in frontendIPConfigurations`}},
				{"a prefix", file(kind, "frontendIPConfiguration: block"),
					[]string{first + `.frontendIPConfiguration: "block" is the prefix 203.0.113.64/30; an inbound NAT rule needs a frontend with one address`}},
				{"All", file(kind, "protocol: All"), []string{first + ".protocol: All has no single port; use Tcp or Udp"}},
				{"backend port", file(kind, "backendPort: 0"), []string{first + ".backendPort: 0 is outside 1–65535"}},
				{"idle timeout", file(kind, "idleTimeoutInMinutes: 3"), []string{first + ".idleTimeoutInMinutes: 3 is outside 4–30 (profile azure)"}},
				{"an ACL", file(kind, "endpointACL: [ { order: 1, action: Permit } ]"), []string{first + ".endpointACL[0].remoteSubnet: is required"}},
				{"nameless", file(kind, `name: ""`), []string{first + ".name: is required"}},
				{"two of one name", file(kind, "", "protocol: Udp"), []string{second + `.name: "all" is the name of ` + first + " already"}},
				{"overlapping ranges", file(kind, "", "name: b; frontendPortRangeStart: 502; frontendPortRangeEnd: 600"),
					[]string{second + `.frontendPortRangeStart: 502–503 (Tcp) of "public" belongs to rule "all" already`}},
			})
		})
	}
	run(t, []problemCase{
		{"a range to one backend", file(rules, "backendAddressPool: ; backendAddress: 10.0.0.1; frontendPort: 22"),
			[]string{"inboundNatRules[0].frontendPortRangeStart: a range is for a rule with backendAddressPool; with backendAddress use frontendPort"}},
		{"a pool to one backend", file(pools, "backendAddressPool: ; backendAddress: 10.0.0.1"), []string{
			"inboundNatPools[0].backendAddress: a rule over a pool has no single backend; keep backendAddress or backendAddressPool",
			"inboundNatPools[0].backendAddressPool: is required: a name from backendAddressPools"}},
	})
}

func TestProbes(t *testing.T) {
	valid := []string{"name: p", "protocol: Http", "port: 80", "requestPath: /healthz"}
	file := func(profile string, probes ...string) string {
		return with("profile: "+profile, section("probes", valid, probes...))
	}
	one := func(keys string) string { return file("azure", keys) }
	const first = "probes[0]"
	cases := []problemCase{
		{"fine", file("azure", "", "name: q; protocol: Https", "name: r; protocol: Tcp; requestPath: "), nil},
		{"nameless", one(`name: ""`), []string{first + ".name: is required"}},
		{"two of one name", file("azure", "", ""), []string{`probes[1].name: "p" is the name of probes[0] already`}},
		{"no protocol", one("protocol: "), []string{first + ".protocol: is required: one of Tcp, Http, Https"}},
		{"protocol", one("protocol: Udp"), []string{first + `.protocol: "Udp" is not one of Tcp, Http, Https`}},
		{"protocol in capitals", one("protocol: HTTP"), []string{first + `.protocol: "HTTP" is written Http`}},
		{"port low", one("port: 0"), []string{first + ".port: 0 is outside 1–65535"}},
		{"port high", one("port: 65536"), []string{first + ".port: 65536 is outside 1–65535"}},
		{"no path", one("requestPath: "), []string{first + ".requestPath: is required with protocol Http"}},
		{"path of a Tcp probe", one("protocol: Tcp"), []string{first + ".requestPath: a Tcp probe has none; remove it or use protocol Http"}},
		{"path without a slash", one("requestPath: healthz"), []string{first + `.requestPath: "healthz" does not begin with /`}},
		{"path with a space", one("requestPath: /a b"), []string{first + `.requestPath: "/a b" is no path of a URL; write odd characters as %20`}},
		{"path with a line break", one(`requestPath: "/a\nHost: b"`), []string{first + `.requestPath: "/a\nHost: b" holds the control character U+000A; remove it`}},
		{"path with a fragment", one(`requestPath: "/a#b"`), []string{first + `.requestPath: "/a#b" is no path of a URL; write odd characters as %20`}},
		{"path with a query", one(`requestPath: "/a?b=c%20d"`), nil},
		{"interval low", one("intervalInSeconds: 4"), []string{first + ".intervalInSeconds: 4 is outside 5–86400"}},
		{"interval 0", one("intervalInSeconds: 0"), []string{first + ".intervalInSeconds: 0 is outside 5–86400"}},
		{"interval high", one("intervalInSeconds: 86401"), []string{first + ".intervalInSeconds: 86401 is outside 5–86400"}},
		{"interval at its ends", file("azure-2026", "intervalInSeconds: 5", "name: q; intervalInSeconds: 86400"), nil},
		{"interval in custom", file("custom", "intervalInSeconds: 1", "name: q; intervalInSeconds: 0"), []string{"probes[1].intervalInSeconds: 0 is outside 1–86400"}},
		{"number of probes", one("numberOfProbes: 0"), []string{first + ".numberOfProbes: 0 is outside 1–100"}},
		{"threshold", one("probeThreshold: 101"), []string{first + ".probeThreshold: 101 is outside 1–100"}},
		{"behaviour", one("noHealthyBackendsBehavior: Up"), []string{first + `.noHealthyBackendsBehavior: "Up" is not one of AllProbedDown, AllProbedUp`}},
	}
	for _, port := range []int{19, 21, 25, 70, 110, 119, 143, 220, 993} {
		for _, protocol := range []string{"Http", "Https"} {
			cases = append(cases, problemCase{fmt.Sprint(protocol, port), one(fmt.Sprintf("protocol: %s; port: %d", protocol, port)),
				[]string{fmt.Sprintf("%s.port: %d is none for %s probes, nor are the others of 19 21 25 70 110 119 143 220 993", first, port, protocol)}})
		}
		cases = append(cases, problemCase{fmt.Sprint("Tcp", port), one(fmt.Sprintf("protocol: Tcp; requestPath: ; port: %d", port)), nil})
	}
	run(t, cases)
}

func TestInstancePublicIPs(t *testing.T) {
	valid := []string{"name: pip", "publicIPAddress: 203.0.113.9", "backendAddress: 10.0.0.20"}
	file := func(ips ...string) string { return with(section("instancePublicIPs", valid, ips...)) }
	const first, second = "instancePublicIPs[0]", "instancePublicIPs[1]"
	run(t, []problemCase{
		{"of a member", file(""), nil},
		{"alone", "gateway: { datapath: tun }\n" + section("instancePublicIPs", valid, "backendAddress: 10.9.0.1"), nil},
		{"nameless", file(`name: ""`), []string{first + ".name: is required"}},
		{"two of one name", file("", "publicIPAddress: 203.0.113.10; backendAddress: 10.0.0.21"),
			[]string{second + `.name: "pip" is the name of instancePublicIPs[0] already`}},
		{"no addresses", file("publicIPAddress: ; backendAddress: "), []string{first + ".publicIPAddress: is required", first + ".backendAddress: is required"}},
		{"a frontend's address", file("publicIPAddress: 203.0.113.65"), []string{first + `.publicIPAddress: 203.0.113.65 belongs to frontend "block"`}},
		{"a frontend as backend", file("backendAddress: 203.0.113.5"), []string{first + `.backendAddress: 203.0.113.5 belongs to frontend "public"`}},
		{"one public address twice", file("", "name: b; backendAddress: 10.0.0.21"), []string{second + `.publicIPAddress: 203.0.113.9 belongs to "pip" already`}},
		{"one backend twice", file("", "name: b; publicIPAddress: 203.0.113.10"), []string{second + `.backendAddress: 10.0.0.20 belongs to "pip" already`}},
		{"a member's address", file("publicIPAddress: 10.0.0.30"), []string{first + `.publicIPAddress: 10.0.0.30 is in pool "vms"`}},
		{"its own backend", file("backendAddress: 203.0.113.9"), []string{first + `.backendAddress: 203.0.113.9 is the public address of "pip"`}},
		{"another's public address as backend", file("backendAddress: 203.0.113.10", "name: b; publicIPAddress: 203.0.113.10"),
			[]string{first + `.backendAddress: 203.0.113.10 is the public address of "b"`}},
		{"idle timeout", file("idleTimeoutInMinutes: 31"), []string{first + ".idleTimeoutInMinutes: 31 is outside 4–30 (profile azure)"}},
		{"seconds", file("idleTimeout: 90s"), []string{first + ".idleTimeout: only profile custom has this key; use idleTimeoutInMinutes"}},
		{"keepalive without reset", file("keepaliveBeforeReset: true"), []string{first + ".keepaliveBeforeReset: has no effect without enableTcpReset: true"}},
	})
}

func TestWithoutFrontends(t *testing.T) {
	const code = "frontendIPConfigurations: LoadBalancerWithoutFrontendIPCantHaveChildResources: at least one frontend is needed for "
	const tun = "gateway: { datapath: tun }\n"
	const pip = "instancePublicIPs: [ { name: pip, publicIPAddress: 203.0.113.9, backendAddress: 10.0.0.20 } ]\n"
	run(t, []problemCase{
		{"pools", tun + pip + "backendAddressPools: [ { name: vms } ]\n", []string{code + "backendAddressPools"}},
		{"probes", tun + pip + "probes: [ { name: p, protocol: Tcp, port: 1 } ]\n", []string{code + "probes"}},
		{"rules", with("frontendIPConfigurations: []"), []string{code + "backendAddressPools, outboundRules",
			`outboundRules[0].frontendIPConfigurations[0]: "public" is not in frontendIPConfigurations`}},
		{"nothing", tun, []string{"frontendIPConfigurations: at least one frontend is needed",
			"outboundRules: at least one rule is needed: here, in inboundNatRules, loadBalancingRules or instancePublicIPs"}},
		{"no rule", with("outboundRules: []"),
			[]string{"outboundRules: at least one rule is needed: here, in inboundNatRules, loadBalancingRules or instancePublicIPs"}},
	})
}

func TestRulesPerBackend(t *testing.T) {
	file := func(profile string, balanced, nat int) string {
		lb, in := []string{}, []string{}
		for i := range balanced {
			lb = append(lb, fmt.Sprintf("{ name: l%d, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, frontendPort: %d, backendPort: %d, disableOutboundSnat: true }", i, i+1, i+1))
		}
		for i := range nat {
			in = append(in, fmt.Sprintf("{ name: n%d, frontendIPConfiguration: public, protocol: Udp, frontendPort: %d, backendAddress: 10.0.0.7, backendPort: 22 }", i, i+1))
		}
		return with("profile: "+profile, "loadBalancingRules: [ "+strings.Join(lb, ", ")+" ]", "inboundNatRules: [ "+strings.Join(in, ", ")+" ]")
	}
	const many = ": LoadBalancerRuleCountLimitReachedForNic: %s has %d rules; a backend has at most 300 (profile %s)"
	run(t, []problemCase{ // each has an outbound rule
		{"as many as may be", file("azure", 200, 99), nil},
		{"one more", file("azure", 200, 100), []string{"loadBalancingRules" + fmt.Sprintf(many, "10.0.0.7", 301, "azure")}},
		{"of a whole pool", file("azure-2026", 300, 0), []string{"loadBalancingRules" + fmt.Sprintf(many, "10.0.0.0", 301, "azure-2026")}},
		{"NAT rules alone", file("azure", 0, 300), []string{"inboundNatRules" + fmt.Sprintf(many, "10.0.0.7", 301, "azure")}},
		{"custom has no limit", file("custom", 200, 300), nil},
	})
}
