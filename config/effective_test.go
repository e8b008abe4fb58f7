package config

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// fatal is what testing.T and rapid.T share.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// throughJSON returns what Parse makes of c's tree.
func throughJSON(t fatal, c *Config) *Config {
	t.Helper()
	content, err := json.Marshal(c.Tree())
	if err != nil {
		t.Fatalf("%v", err)
	}
	again, err := Parse("json", content)
	if err != nil {
		t.Fatalf("%s\nis refused: %v", content, err)
	}
	return again
}

// sameTree says whether two configurations are equal but for their origin.
func sameTree(a, b *Config) bool {
	x, y := *a, *b
	x.origin, y.origin = origin{}, origin{}
	return reflect.DeepEqual(&x, &y)
}

func TestTreeIsTheConfig(t *testing.T) {
	var files []string
	for _, pattern := range []string{"testdata/*.yaml", "testdata/*.json", "testdata/*.toml", "testdata/*/*.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	checked := 0
	for _, path := range files {
		c, err := Load(path)
		if err != nil {
			continue // of an import, whose placeholders nobody has filled in
		}
		if again := throughJSON(t, c); !sameTree(again, c) {
			t.Errorf("%s: the tree makes\n%+v, not\n%+v", path, again, c)
		}
		checked++
	}
	if checked < 6 {
		t.Errorf("only %d of %q were read", checked, files)
	}
}

func TestTreeOfAnyConfig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		if ps := c.Validate(); ps != nil {
			t.Fatalf("not valid: %v", ps)
		}
		if again := throughJSON(t, c); !sameTree(again, c) {
			t.Fatalf("the tree makes\n%+v, not\n%+v", again, c)
		}
	})
}

// TestTreeSpelling: what a reader of the tree sees.
func TestTreeSpelling(t *testing.T) {
	c, err := Load("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"profile": "azure",
		"gateway": map[string]any{
			"datapath": "auto", "inside": map[string]any{"interface": "eth1"}, "outside": map[string]any{"interface": "eth0"},
			"tun": map[string]any{"name": "tide0"}, "workers": 0, "maxFlows": 1048576, "stateDir": "/var/lib/tidegate",
		},
		"api":    map[string]any{"listen": []any{"unix:/run/tidegate/api.sock", "127.0.0.1:9180"}},
		"log":    map[string]any{"level": "info", "format": "text"},
		"reload": map[string]any{"watchFile": false},
		"flowRecords": map[string]any{
			"file":  map[string]any{"maxSizeInMB": 100, "maxFiles": 10},
			"ipfix": map[string]any{"observationDomainId": 1, "protocol": "udp"},
		},
		"timers": map[string]any{"tcpHalfOpen": "30s", "tcpFinHold": "1m5s", "tcpResetHold": "16s",
			"udpLoadBalanced": "4m", "icmp": "30s", "udpInboundRefresh": true},
		"frontendIPConfigurations": []any{map[string]any{"name": "public", "publicIPAddress": "203.0.113.5"}},
		"backendAddressPools":      []any{map[string]any{"name": "vms", "addresses": []any{"10.0.0.0/24"}, "drainPeriodInSeconds": 0}},
		"outboundRules": []any{map[string]any{"name": "egress", "frontendIPConfigurations": []any{"public"}, "backendAddressPool": "vms",
			"protocol": "All", "allocatedOutboundPorts": 0, "enableTcpReset": false, "keepaliveBeforeReset": false}},
	}
	if diff := cmp.Diff(want, c.Tree()); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

// drawConfig draws a valid configuration in which each key has its default or
// another value.
func drawConfig(t *rapid.T) *Config {
	c := Default()
	c.Profile = ProfileCustom
	c.Gateway = Gateway{
		Datapath: DatapathPacket, Inside: Interface{"in0"}, Outside: Interface{"out0"}, TUN: TUN{draw(t, "", "tide0")},
		Workers: draw(t, 0, 3), MaxFlows: draw(t, minFlows, maxFlows), StateDir: draw(t, "/var/lib/tidegate", "/a b"),
	}
	c.API = API{
		Listen:    draw(t, []string{}, c.API.Listen, []string{"0.0.0.0:1"}),
		TokenFile: "/token", TLS: draw(t, TLS{}, TLS{"/cert", "/key"}),
	}
	c.Log = Log{draw(t, "debug", "error"), draw(t, "text", "json")}
	c.Reload.WatchFile = draw(t, true, false)
	c.FlowRecords = FlowRecords{
		RecordFile{draw(t, "", "/flows"), draw(t, 1, maxRecordSize), draw(t, 1, maxRecords)},
		IPFIX{draw(t, "", "[::1]:4739"), draw(t, 0, 1<<31), draw(t, "udp", "tcp")},
	}
	wait := rapid.Int64Range(1, int64(maxTimer))
	c.Timers.ICMP, c.Timers.TCPFinHold = time.Duration(wait.Draw(t, "icmp")), time.Duration(wait.Draw(t, "finHold"))
	c.Timers.UDPInboundRefresh = draw(t, true, false)
	c.FrontendIPConfigurations = []FrontendIPConfiguration{
		{Name: "a", PublicIPAddress: netip.MustParseAddr("203.0.113.1")},
		{Name: "<b>", PublicIPPrefix: netip.MustParsePrefix(draw(t, "203.0.113.2/32", "203.0.113.4/31"))},
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "pools") {
		c.BackendAddressPools = append(c.BackendAddressPools, drawPool(t, i))
	}
	c.BackendAddressPools = append(c.BackendAddressPools, BackendAddressPool{Name: "empty"})
	c.OutboundRules = []OutboundRule{{Name: "out", FrontendIPConfigurations: []string{"<b>", "a"}, BackendAddressPool: "empty",
		Protocol: ProtocolAll, AllocatedOutboundPorts: draw(t, 0, 8), IdleTimer: drawIdle(t)}}
	c.Probes = draw(t, nil, []Probe{}, []Probe{defaultProbe()})
	for i := range c.Probes {
		c.Probes[i].Name, c.Probes[i].Protocol, c.Probes[i].Port = "probe", ProbeTCP, 22
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "rules") {
		c.LoadBalancingRules = append(c.LoadBalancingRules, drawBalancing(t, i))
		c.InboundNATRules = append(c.InboundNATRules, InboundNATRule{Name: strconv.Itoa(i), FrontendIPConfiguration: "a", Protocol: ProtocolUDP,
			FrontendPort: 100 + i, BackendAddress: netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), BackendPort: 7, EndpointACL: drawACL(t)})
	}
	return c
}

func draw[T any](t *rapid.T, values ...T) T { return rapid.SampledFrom(values).Draw(t, "value") }

func drawPool(t *rapid.T, i int) BackendAddressPool {
	p := BackendAddressPool{Name: strconv.Itoa(i), DrainPeriodInSeconds: draw(t, 0, 60), Addresses: draw(t, nil, []PoolAddress{})}
	for j := range rapid.IntRange(0, 3).Draw(t, "addresses") {
		prefix, _ := netip.AddrFrom4([4]byte{10, 0, byte(i), byte(64 * j)}).Prefix(draw(t, 32, 26))
		p.Addresses = append(p.Addresses, PoolAddress{prefix, draw(t, AdminNone, AdminUp, AdminDown)})
	}
	return p
}

func drawIdle(t *rapid.T) IdleTimer {
	minutes, late := draw(t, 1, 1440), draw(t, true, false)
	timer := IdleTimer{IdleTimeoutInMinutes: draw(t, nil, &minutes), EnableTCPReset: draw(t, true, false), LateTCPReset: draw(t, nil, &late)}
	if timer.IdleTimeoutInMinutes == nil {
		d := time.Duration(rapid.Int64Range(int64(minIdle), int64(maxIdle)).Draw(t, "idle"))
		timer.IdleTimeout = draw(t, nil, &d)
	}
	timer.KeepaliveBeforeReset = timer.EnableTCPReset && draw(t, true, false)
	return timer
}

func drawBalancing(t *rapid.T, i int) LoadBalancingRule {
	return LoadBalancingRule{Name: strconv.Itoa(i), FrontendIPConfiguration: "a", BackendAddressPool: "empty", Protocol: ProtocolTCP,
		FrontendPort: 100 + i, BackendPort: 200 + i, DisableOutboundSnat: true, EnableFloatingIP: draw(t, true, false),
		LoadDistribution: draw(t, DistributionDefault, DistributionSourceIP), EndpointACL: drawACL(t), IdleTimer: drawIdle(t)}
}

func drawACL(t *rapid.T) []ACLEntry {
	entries := []ACLEntry{
		{Order: 0, Action: ActionPermit, RemoteSubnet: netip.MustParsePrefix("198.51.100.7/32")},
		{Order: 65535, Action: ActionDeny, RemoteSubnet: netip.MustParsePrefix("0.0.0.0/0"), Description: draw(t, "", "<everyone> \"else\" ünd 🌊")},
	}
	return draw(t, nil, []ACLEntry{}, slices.Clone(entries), entries[1:])
}
