package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// outbounds lists the rules in force, one line each.
func outbounds(t *testing.T, file string) []string {
	t.Helper()
	c, err := Parse("yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, o := range c.Outbounds() {
		names := []string{}
		for _, f := range o.Frontends {
			names = append(names, f.Name)
		}
		lines = append(lines, fmt.Sprintf("%s: %s %s by %s, %d ports, idle %s, reset %v, implied %v",
			o.Name, o.Protocol, o.Pool.Name, strings.Join(names, "+"), o.Ports(), o.Idle(), o.EnableTCPReset, o.Implied))
	}
	return lines
}

func TestOutbounds(t *testing.T) {
	const snat = "disableOutboundSnat: false; "
	egress := func(pool, protocol string) string {
		return "outboundRules: [ { name: egress, frontendIPConfigurations: [ block ], backendAddressPool: " + pool + ", protocol: " + protocol + " } ]"
	}
	for _, c := range []struct {
		name string
		file string
		want []string
	}{
		{"disabled", balancing(nil, ""), nil},
		{"an internal frontend", balancing(nil, snat+"frontendIPConfiguration: internal"), nil},
		{"Tcp", balancing(nil, snat+"idleTimeoutInMinutes: 9; enableTcpReset: true"),
			[]string{"web: Tcp vms by public, 1024 ports, idle 9m0s, reset true, implied true"}},
		{"Udp", balancing(nil, snat+"protocol: Udp"), []string{"web: Udp vms by public, 1024 ports, idle 4m0s, reset false, implied true"}},
		{"floating IP too", balancing(nil, snat+"enableFloatingIP: true"), []string{"web: Tcp vms by public, 1024 ports, idle 4m0s, reset false, implied true"}},
		{"one for a pool and protocol, by all frontends in order", balancing(nil,
			snat+"name: a; frontendIPConfiguration: b; idleTimeoutInMinutes: 7", snat+"name: b; frontendPort: 80; backendPort: 80",
			snat+"name: c; frontendPort: 81; backendPort: 81", snat+"name: d; protocol: Udp", "name: e; frontendPort: 82; backendPort: 82"),
			[]string{"a: Tcp vms by b+public, 1024 ports, idle 7m0s, reset false, implied true",
				"d: Udp vms by public, 1024 ports, idle 4m0s, reset false, implied true"}},
		{"two pools, one frontend", balancing(nil, snat+"name: a", snat+"name: b; frontendPort: 80; backendAddressPool: dbs"),
			[]string{"a: Tcp vms by public, 1024 ports, idle 4m0s, reset false, implied true",
				"b: Tcp dbs by public, 1024 ports, idle 4m0s, reset false, implied true"}},
		{"given for all", balancing([]string{egress("vms", "All")}, snat, snat+"name: b; protocol: Udp"),
			[]string{"egress: All vms by block, 1024 ports, idle 4m0s, reset false, implied false"}},
		{"given for the other protocol", balancing([]string{egress("vms", "Udp")}, snat, snat+"name: b; protocol: Udp"),
			[]string{"egress: Udp vms by block, 1024 ports, idle 4m0s, reset false, implied false",
				"web: Tcp vms by public, 1024 ports, idle 4m0s, reset false, implied true"}},
		{"given for another pool", balancing([]string{egress("dbs", "All")}, snat),
			[]string{"egress: All dbs by block, 1024 ports, idle 4m0s, reset false, implied false",
				"web: Tcp vms by public, 1024 ports, idle 4m0s, reset false, implied true"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := outbounds(t, c.file); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// TestImpliedPorts checks both ends of each row of Azure's table where no rule
// says how many ports a member has.
func TestImpliedPorts(t *testing.T) {
	for members, want := range map[int]int{1: 1024, 50: 1024, 51: 512, 100: 512, 101: 256, 200: 256, 201: 128, 400: 128, 401: 64, 800: 64, 801: 32, 1000: 32, 1999: 32} {
		c := &Config{
			FrontendIPConfigurations: frontendsOf(1),
			BackendAddressPools:      []BackendAddressPool{poolOf(members)},
			LoadBalancingRules:       []LoadBalancingRule{{Name: "web", FrontendIPConfiguration: "0", Protocol: ProtocolTCP, FrontendPort: 80}},
		}
		if got := c.Outbounds()[0].Ports(); got != want {
			t.Errorf("%d members: %d ports, want %d", members, got, want)
		}
	}
}

func TestImpliedOutboundsAtFault(t *testing.T) {
	const snat = "disableOutboundSnat: false; "
	const available = ": SpecifiedAllocatedOutboundPortsForOutboundRuleExceedsTotalNumberOfAvailablePorts: "
	const remedy = " more than its frontends have left; set it to true and give the pool an outbound rule"
	pools := func(vms, dbs string) []string {
		return []string{"backendAddressPools: [ { name: vms, addresses: [ " + vms + " ] }, { name: dbs, addresses: [ " + dbs + " ] } ]"}
	}
	const first, second = "loadBalancingRules[0].disableOutboundSnat", "loadBalancingRules[1].disableOutboundSnat"
	run(t, []problemCase{
		{"a member that leaves already needs no ports", balancing(pools("10.0.0.0/26", "10.0.0.0/26"), snat, snat+"name: b; frontendPort: 80; backendAddressPool: dbs"), nil},
		{"nor does one with an outbound rule", balancing(append(pools("10.0.0.0/20", "10.0.0.0/20"),
			"outboundRules: [ { name: egress, frontendIPConfigurations: [ block ], backendAddressPool: dbs, protocol: All, allocatedOutboundPorts: 8 } ]"), snat), nil},
		{"some of its members leave already", balancing(pools("10.0.0.0/26", "10.0.0.32/27, 10.0.1.0/26"), snat, snat+"name: b; frontendPort: 80; backendAddressPool: dbs"),
			[]string{second + available + "64 members × 512 ports each are 1536" + remedy}},
		{"as many members as have ports", balancing(pools("10.0.0.0/22, 10.0.4.0/23, 10.0.6.0/24, 10.0.7.0/25, 10.0.7.128/26, 10.0.7.192/28", "10.9.0.1"), snat+"frontendPort: 1023"), nil},
		{"a rule's port takes the last block", balancing(pools("10.0.0.0/22, 10.0.4.0/23, 10.0.6.0/24, 10.0.7.0/25, 10.0.7.128/26, 10.0.8.0/28", "10.9.0.1"), snat+"frontendPort: 1024"),
			[]string{first + available + "2000 members × 32 ports each are 8" + remedy}},
		{"two pools that share a frontend", balancing(pools("10.0.0.0/26", "10.0.1.0/26"), snat, snat+"name: b; frontendPort: 80; backendAddressPool: dbs"),
			[]string{second + available + "64 members × 512 ports each are 1536" + remedy}},
		{"two that don't", balancing(pools("10.0.0.0/26", "10.0.1.0/26"), snat, snat+"name: b; frontendIPConfiguration: b; backendAddressPool: dbs"), nil},
		{"two of two protocols", balancing(pools("10.0.0.0/26", "10.0.1.0/26"), snat, snat+"name: b; protocol: Udp; backendAddressPool: dbs"), nil},
	})
}

// TestBlocksTaken compares the count with a look at every port.
func TestBlocksTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		port := rapid.OneOf(rapid.IntRange(1000, 1100), rapid.IntRange(64990, 65100), rapid.IntRange(1, 65534))
		c, used := &Config{}, map[int]bool{}
		take := func(frontend string, first, last int) {
			for p := first; frontend == "0" && p <= last; p++ {
				used[p] = true
			}
		}
		for range rapid.IntRange(0, 8).Draw(t, "rules") {
			frontend, p := rapid.SampledFrom([]string{"0", "1"}).Draw(t, "frontend"), port.Draw(t, "port")
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				c.LoadBalancingRules = append(c.LoadBalancingRules, LoadBalancingRule{FrontendIPConfiguration: frontend, Protocol: ProtocolUDP, FrontendPort: p})
				take(frontend, p, p)
			case 1:
				c.InboundNATRules = append(c.InboundNATRules, InboundNATRule{FrontendIPConfiguration: frontend, FrontendPort: p})
				take(frontend, p, p)
			case 2:
				end := min(p+rapid.IntRange(0, 100).Draw(t, "more"), 65535)
				c.InboundNATPools = append(c.InboundNATPools, InboundNATRule{
					FrontendIPConfiguration: frontend, BackendAddressPool: "vms", FrontendPortRangeStart: p, FrontendPortRangeEnd: end})
				take(frontend, p, end)
			}
		}
		free := 0
		for block := 0; block < 8000; block++ {
			taken := false
			for i := range 8 {
				taken = taken || used[1024+8*block+i]
			}
			if !taken {
				free++
			}
		}
		if got := c.blocksTaken()["0"]; got != 8000-free {
			t.Fatalf("%d blocks taken, want %d", got, 8000-free)
		}
	})
}

// TestImpliedPortsAreDealt compares the check with dealing out block by block.
func TestImpliedPortsAreDealt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Default()
		c.FrontendIPConfigurations = frontendsOf(3)
		for i := range 3 {
			p := BackendAddressPool{Name: fmt.Sprint(i)}
			for _, bits := range rapid.SliceOfN(rapid.IntRange(21, 32), 0, 2).Draw(t, "prefixes") {
				base := netip.AddrFrom4([4]byte{10, byte(i / 2), byte(8 * len(p.Addresses)), 0}) // two pools may overlap
				p.Addresses = append(p.Addresses, PoolAddress{netip.PrefixFrom(base, bits), AdminNone})
			}
			c.BackendAddressPools = append(c.BackendAddressPools, p)
		}
		for i := range rapid.IntRange(1, 6).Draw(t, "rules") {
			c.LoadBalancingRules = append(c.LoadBalancingRules, LoadBalancingRule{
				Name: fmt.Sprint(i), FrontendPort: 1030 + 4*i, BackendPort: 1 + i, LoadDistribution: DistributionDefault,
				FrontendIPConfiguration: fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "frontend")),
				BackendAddressPool:      fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "pool")),
				Protocol:                rapid.SampledFrom([]Protocol{ProtocolTCP, ProtocolUDP}).Draw(t, "protocol"),
			})
		}
		told := slices.ContainsFunc(c.Validate(), func(p Problem) bool { return strings.HasPrefix(p.Message, codeMoreThanAvailable) })
		if short := !dealt(c); short != told {
			t.Fatalf("too few ports: %v, and told: %v", short, told)
		}
	})
}

// dealt reports whether there is a block for every eight ports of every member.
func dealt(c *Config) bool {
	gone := map[string]bool{}
	for _, r := range c.LoadBalancingRules {
		gone[fmt.Sprint(r.FrontendIPConfiguration, ProtocolTCP, r.FrontendPort/8)] = true
		gone[fmt.Sprint(r.FrontendIPConfiguration, ProtocolUDP, r.FrontendPort/8)] = true
	}
	for _, o := range c.Outbounds() {
		need := 0
		for a := range o.Pool.Members() {
			if key := fmt.Sprint(o.Protocol, a); !gone[key] {
				gone[key] = true
				need += o.Ports() / 8
			}
		}
		for _, f := range o.Frontends {
			for block := 1024 / 8; block < 65024/8 && need > 0; block++ {
				if key := fmt.Sprint(f.Name, o.Protocol, block); !gone[key] {
					gone[key] = true
					need--
				}
			}
		}
		if need > 0 {
			return false
		}
	}
	return true
}
