package config

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestDefaultPorts checks both ends of each row of Azure's table, and the cap:
// 100 members have 512 ports with one address, 1,024 with two or three.
func TestDefaultPorts(t *testing.T) {
	for _, c := range []struct{ members, ips, want int }{
		{0, 1, 1024}, {1, 1, 1024}, {50, 1, 1024}, {51, 1, 512}, {100, 1, 512}, {101, 1, 256}, {200, 1, 256},
		{201, 1, 128}, {400, 1, 128}, {401, 1, 64}, {800, 1, 64}, {801, 1, 32}, {1000, 1, 32}, {1001, 1, 32}, {5000, 1, 32},
		{100, 2, 1024}, {100, 3, 1024}, {1, 9, 1024}, {150, 3, 768}, {1000, 4, 128}, {1000, 40, 1024},
	} {
		o := Outbound{Pool: poolOf(c.members), Frontends: frontendsOf(c.ips)}
		if got := o.Ports(); got != c.want {
			t.Errorf("%d members, %d frontend IPs: %d ports, want %d", c.members, c.ips, got, c.want)
		}
		o.AllocatedOutboundPorts = 8
		if got := o.Ports(); got != 8 {
			t.Errorf("%d ports where the rule allocates 8", got)
		}
	}
}

func poolOf(members int) (p BackendAddressPool) {
	a := netip.MustParseAddr("10.0.0.0")
	for range members {
		p.Addresses = append(p.Addresses, PoolAddress{Prefix: single(a), AdminState: AdminNone})
		a = a.Next()
	}
	return p
}

func frontendsOf(ips int) (fs []FrontendIPConfiguration) {
	for i := range ips {
		fs = append(fs, FrontendIPConfiguration{Name: fmt.Sprint(i), PublicIPAddress: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})})
	}
	return fs
}

func TestOutboundFollowsReferences(t *testing.T) {
	c, err := Load("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	o := c.Outbound(c.OutboundRules[0])
	if o.Pool.Name != "vms" || o.Pool.Size() != 18 || len(o.Frontends) != 2 || o.FrontendIPs() != 5 || o.Ports() != 1024 {
		t.Errorf("got %+v", o)
	}
	if o.Frontends[0].Name != "public" || o.Frontends[1].Name != "block" {
		t.Errorf("frontends are not in the rule's order: %+v", o.Frontends)
	}
	if _, ok := c.Pool("none"); ok {
		t.Error("a pool that is not there was found")
	}
	if _, ok := c.Frontend("none"); ok {
		t.Error("a frontend that is not there was found")
	}
}

func TestProtocolsApply(t *testing.T) {
	for p, want := range map[Protocol][2]bool{
		ProtocolTCP: {true, false}, ProtocolUDP: {false, true}, ProtocolAll: {true, true}, "": {}, "tcp": {},
	} {
		if got := [2]bool{p.TCP(), p.UDP()}; got != want {
			t.Errorf("%q applies to TCP, UDP: %v, want %v", p, got, want)
		}
	}
}
