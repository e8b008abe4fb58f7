package config

import (
	"fmt"
	"strings"
	"testing"
)

// frontends and pools of the files below; every rule in them stands alone.
var balanced = []string{
	"frontendIPConfigurations: [ { name: public, publicIPAddress: 203.0.113.5 }, { name: b, publicIPPrefix: 203.0.113.6/32 }, " +
		"{ name: block, publicIPPrefix: 203.0.113.64/30 }, { name: internal, privateIPAddress: 10.9.0.4 }, { name: other, privateIPAddress: 10.9.0.5 } ]",
	"backendAddressPools: [ { name: vms, addresses: [ 10.0.0.0/30 ] }, { name: dbs, addresses: [ 10.0.1.10 ] } ]",
}

// balancing builds a file with the given load-balancing rules.
func balancing(sections []string, rules ...string) string {
	valid := []string{"name: web", "frontendIPConfiguration: public", "backendAddressPool: vms", "protocol: Tcp",
		"frontendPort: 443", "backendPort: 8443", "disableOutboundSnat: true"}
	return over(append(balanced, base[0], section("loadBalancingRules", valid, rules...)), sections)
}

func TestLoadBalancingRules(t *testing.T) {
	const first, second = "loadBalancingRules[0]", "loadBalancingRules[1]"
	one := func(rules ...string) string { return balancing(nil, rules...) }
	const ha = "frontendIPConfiguration: internal; protocol: All; frontendPort: 0; backendPort: 0"
	run(t, []problemCase{
		{"fine without other rules", one(""), nil},
		{"nameless", one(`name: ""`), []string{first + ".name: is required"}},
		{"two of one name", one("", "frontendPort: 80; backendPort: 80"), []string{second + `.name: "web" is the name of loadBalancingRules[0] already`}},
		{"unknown frontend", one("frontendIPConfiguration: x"), []string{first + `.frontendIPConfiguration: "x" is not in frontendIPConfigurations`}},
		{"a prefix", one("frontendIPConfiguration: block"),
			[]string{first + `.frontendIPConfiguration: "block" is the prefix 203.0.113.64/30; a load-balancing rule needs a frontend with one address`}},
		{"a prefix of one", one("frontendIPConfiguration: b"), nil},
		{"unknown pool", one("backendAddressPool: x"), []string{first + `.backendAddressPool: "x" is not in backendAddressPools`}},
		{"no pool", one("backendAddressPool: "), []string{first + ".backendAddressPool: is required: a name from backendAddressPools"}},
		{"unknown probe", one("probe: x"), []string{first + `.probe: "x" is not in probes`}},
		{"no protocol", one("protocol: "), []string{first + ".protocol: is required: one of Tcp, Udp, All"}},
		{"protocol in capitals", one("protocol: UDP"), []string{first + `.protocol: "UDP" is written Udp`}},
		{"distribution", one("loadDistribution: None"), []string{first + `.loadDistribution: "None" is not one of Default, SourceIP, SourceIPProtocol`}},
		{"distribution in small letters", one("loadDistribution: sourceip"), []string{first + `.loadDistribution: "sourceip" is written SourceIP`}},
		{"ports low", one("frontendPort: -1; backendPort: -1"),
			[]string{first + ".frontendPort: -1 is outside 0–65534", first + ".backendPort: -1 is outside 0–65535"}},
		{"ports high", one("frontendPort: 65535; backendPort: 65536"),
			[]string{first + ".frontendPort: 65535 is outside 0–65534", first + ".backendPort: 65536 is outside 0–65535"}},
		{"ports at their ends", one("frontendPort: 65534; backendPort: 65535"), nil},
		{"ports 0 without All", one("frontendPort: 0; backendPort: 0"), []string{
			first + ".frontendPort: 0 is every port (HA ports), which needs protocol All",
			first + ".backendPort: 0 is every port (HA ports), which needs protocol All"}},
		{"All with ports", one("frontendIPConfiguration: internal; protocol: All"), []string{
			first + ".frontendPort: 443 with protocol All: HA ports need frontendPort 0 and backendPort 0",
			first + ".backendPort: 8443 with protocol All: HA ports need frontendPort 0 and backendPort 0"}},
		{"HA ports", one(ha, strings.Replace(ha, "internal", "other", 1)+"; name: b; backendAddressPool: dbs"), nil},
		{"HA ports on a public frontend", one(strings.Replace(ha, "internal", "public", 1)),
			[]string{first + `.frontendIPConfiguration: "public" is public; HA ports need an internal frontend`}},
		{"two with HA ports on a frontend", one(ha, ha+"; name: b; backendAddressPool: dbs"),
			[]string{second + `.frontendPort: every port (Tcp) of "internal" belongs to rule "web" already`}},
		{"floating and not, with HA ports, on a frontend", one(ha, ha+"; name: b; enableFloatingIP: true"),
			[]string{second + `.frontendPort: every port (Tcp) of "internal" belongs to rule "web" already`}},
		{"a port beside HA ports", one(ha, "name: b; frontendIPConfiguration: internal; protocol: Udp"),
			[]string{second + `.frontendPort: 443 (Udp) of "internal" belongs to rule "web" already`}},
		{"HA ports beside a port", one("frontendIPConfiguration: internal; protocol: Udp", ha+"; name: b"),
			[]string{second + `.frontendPort: 443 (Udp) of "internal" belongs to rule "web" already`}},
		{"a port beside HA ports, both floating", one(ha+"; enableFloatingIP: true", "name: b; frontendIPConfiguration: internal; enableFloatingIP: true"), nil},
		{"a port beside HA ports, one floating", one(ha+"; enableFloatingIP: true", "name: b; frontendIPConfiguration: internal"),
			[]string{second + `.frontendPort: 443 (Tcp) of "internal" belongs to rule "web" already`}},
		{"two with HA ports, both floating", one(ha+"; enableFloatingIP: true", ha+"; name: b; enableFloatingIP: true"),
			[]string{second + `.frontendPort: every port (Tcp) of "internal" belongs to rule "web" already`}},
		{"one port twice, both floating", one("enableFloatingIP: true", "name: b; enableFloatingIP: true"),
			[]string{second + `.frontendPort: 443 (Tcp) of "public" belongs to rule "web" already`}},
		{"one port twice", one("", "name: b; backendAddressPool: dbs"), []string{second + `.frontendPort: 443 (Tcp) of "public" belongs to rule "web" already`}},
		{"one port for two protocols", one("", "name: b; protocol: Udp"), nil},
		{"one port of two frontends", one("", "name: b; frontendIPConfiguration: b; backendPort: 80"), nil},
		{"idle timeout", one("idleTimeoutInMinutes: 31"), []string{first + ".idleTimeoutInMinutes: 31 is outside 4–30 (profile azure)"}},
		{"reset of UDP", one("protocol: Udp; enableTcpReset: true"), nil},
		{"keepalive of UDP", one("protocol: Udp; enableTcpReset: true; keepaliveBeforeReset: true; lateTcpReset: true"), []string{
			first + ".keepaliveBeforeReset: has no effect: a rule for Udp has no TCP flows",
			first + ".lateTcpReset: has no effect: a rule for Udp has no TCP flows"}},
		{"reset with HA ports", one(ha + "; enableTcpReset: true"), nil},
		{"keepalive with HA ports", one(ha + "; keepaliveBeforeReset: true; lateTcpReset: true"), []string{
			first + ".keepaliveBeforeReset: has no effect: a rule with HA ports never resets",
			first + ".lateTcpReset: has no effect: a rule with HA ports never resets"}},
		{"late reset alone with HA ports", one(ha + "; lateTcpReset: true"), []string{first + ".lateTcpReset: has no effect: a rule with HA ports never resets"}},
		{"keepalive without reset", one("keepaliveBeforeReset: true"),
			[]string{first + ".keepaliveBeforeReset: has no effect without enableTcpReset: true"}},
		{"late reset alone", one("lateTcpReset: true"), nil},
	})
}

func TestSharedBackendPorts(t *testing.T) {
	const path = "loadBalancingRules[1].backendPort: RulesUseSameBackendPortProtocolAndPool: "
	const remedy = " already; use another port or pool, or enableFloatingIP: true"
	const ha = "protocol: All; frontendPort: 0; backendPort: 0"
	two := func(a, b string) string { return balancing(nil, a, "name: b; frontendIPConfiguration: b; "+b) }
	run(t, []problemCase{
		{"port, protocol and pool", two("", "frontendPort: 80"), []string{path + `rule "web" has 8443 (Tcp) of "vms"` + remedy}},
		{"both with HA ports", balancing(nil, ha+"; frontendIPConfiguration: internal", ha+"; name: b; frontendIPConfiguration: other"),
			[]string{path + `rule "web" has 0 (Tcp) of "vms"` + remedy}},
		{"another port", two("", "backendPort: 80"), nil},
		{"another protocol", two("", "protocol: Udp"), nil},
		{"another pool", two("", "backendAddressPool: dbs"), nil},
		{"one floating", two("", "enableFloatingIP: true"), nil},
		{"both floating", two("enableFloatingIP: true", "enableFloatingIP: true"), nil},
		{"HA ports and a port, of two frontends", balancing(nil, ha+"; frontendIPConfiguration: internal", "name: b; frontendIPConfiguration: other"), nil},
	})
}

// TestOnePortOneRule lets rules of each kind meet on a port.
func TestOnePortOneRule(t *testing.T) {
	nat := "inboundNatRules: [ { name: ssh, frontendIPConfiguration: public, protocol: Tcp, frontendPort: %d, backendAddress: 10.0.0.1, backendPort: 22 } ]"
	pool := "inboundNatPools: [ { name: all, frontendIPConfiguration: public, protocol: %s, frontendPortRangeStart: %d, frontendPortRangeEnd: %d, backendAddressPool: vms, backendPort: 22 } ]"
	file := func(natPort int, protocol string, start, end int) string {
		return balancing([]string{fmt.Sprintf(nat, natPort), fmt.Sprintf(pool, protocol, start, end)}, "")
	}
	const pooled, lb = "inboundNatPools[0].frontendPortRangeStart: ", "loadBalancingRules[0].frontendPort: "
	run(t, []problemCase{
		{"apart", file(442, "Tcp", 444, 447), nil},
		{"NAT rule and load-balancing rule", file(443, "Tcp", 444, 447), []string{lb + `443 (Tcp) of "public" belongs to rule "ssh" already`}},
		{"at the range's beginning", file(500, "Tcp", 500, 503), []string{pooled + `500 (Tcp) of "public" belongs to rule "ssh" already`}},
		{"at the range's end", file(503, "Tcp", 500, 503), []string{pooled + `503 (Tcp) of "public" belongs to rule "ssh" already`}},
		{"range and load-balancing rule", file(22, "Tcp", 440, 443), []string{lb + `443 (Tcp) of "public" belongs to rule "all" already`}},
		{"a range for another protocol", file(503, "Udp", 440, 503), nil},
	})
}

func TestOutboundSnatMustBeDisabled(t *testing.T) {
	file := func(rule string) string {
		return balancing([]string{"outboundRules: [ { name: egress, frontendIPConfigurations: [ b, public ], backendAddressPool: dbs, protocol: Udp } ]"}, rule)
	}
	const path = "loadBalancingRules[0].disableOutboundSnat: LoadBalancingRuleMustDisableSNATSinceSameFrontendIPConfigurationIsReferencedByOutboundRule: "
	run(t, []problemCase{
		{"not disabled", file("disableOutboundSnat: false"), []string{path + `outbound rule "egress" has frontend "public"; set it to true`}},
		{"disabled", file(""), nil},
		{"an internal frontend", file("disableOutboundSnat: false; frontendIPConfiguration: internal"), nil},
	})
}

func TestFloatingIPNeedsFrames(t *testing.T) {
	const message = ".enableFloatingIP: direct server return hands frames to a backend by its link-layer address, which datapath tun has not; use datapath packet"
	nat := "inboundNatRules: [ { name: ssh, frontendIPConfiguration: public, protocol: Tcp, frontendPort: 22, backendAddress: 10.0.0.1, backendPort: 22, enableFloatingIP: true } ]"
	run(t, []problemCase{
		{"tun", balancing([]string{"gateway: { datapath: tun }", nat}, "enableFloatingIP: true"),
			[]string{"inboundNatRules[0]" + message, "loadBalancingRules[0]" + message}},
		{"packet", balancing([]string{"gateway: { datapath: packet, inside: { interface: a }, outside: { interface: b } }", nat}, "enableFloatingIP: true"), nil},
	})
}

func TestACL(t *testing.T) {
	const acl = "loadBalancingRules[0].endpointACL"
	file := func(entries string) string { return balancing(nil, "endpointACL: [ "+entries+" ]") }
	const ok = "{ order: 1, action: Permit, remoteSubnet: 198.51.100.0/24, description: d }"
	run(t, []problemCase{
		{"fine", file(ok + ", { order: 0, action: Deny, remoteSubnet: 0.0.0.0/0 }, { order: 65535, action: Permit, remoteSubnet: 127.0.0.1 }"), nil},
		{"empty", file(""), nil},
		{"order low", file("{ order: -1, action: Permit, remoteSubnet: 10.0.0.1 }"), []string{acl + "[0].order: -1 is outside 0–65535"}},
		{"order high", file("{ order: 65536, action: Permit, remoteSubnet: 10.0.0.1 }"), []string{acl + "[0].order: 65536 is outside 0–65535"}},
		{"order twice", file(ok + ", " + ok), []string{acl + "[1].order: 1 is the order of endpointACL[0] already"}},
		{"action", file("{ order: 1, action: Allow, remoteSubnet: 10.0.0.1 }"), []string{acl + `[0].action: "Allow" is not one of Permit, Deny`}},
		{"action in small letters", file("{ order: 1, action: deny, remoteSubnet: 10.0.0.1 }"), []string{acl + `[0].action: "deny" is written Deny`}},
		{"no subnet", file("{ order: 1, action: Deny }"), []string{acl + "[0].remoteSubnet: is required"}},
		{"no address", file("{ order: 1, action: Deny, remoteSubnet: here }"), []string{acl + `[0].remoteSubnet: "here" is not an IPv4 address or prefix`}},
		{"host bits", file("{ order: 1, action: Deny, remoteSubnet: 10.0.0.1/8 }"), []string{acl + "[0].remoteSubnet: 10.0.0.1/8 has host bits set; its prefix is 10.0.0.0/8"}},
		{"IPv6", file(`{ order: 1, action: Deny, remoteSubnet: "::1" }`), []string{acl + "[0].remoteSubnet: ::1: IPv6 is not supported yet"}},
		{"IPv6 prefix", file(`{ order: 1, action: Deny, remoteSubnet: "::/0" }`), []string{acl + "[0].remoteSubnet: ::/0: IPv6 is not supported yet"}},
		{"unknown key", file("{ order: 1, action: Deny, remoteSubnet: 10.0.0.1, protocol: Tcp }"), []string{acl + "[0].protocol: unknown key"}},
		{"no map", file("10.0.0.1"), []string{acl + `[0]: "10.0.0.1" is not a map of keys`}},
	})
}
