package nexthop

import (
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"tidegate/packet"
)

func TestX(t *testing.T) {
	l := newLab(t)
	_ = l
	g, err := InstallGuard(GuardOptions{Inside: "in0", Outside: "out0", Frontends: []Guarded{
		{Addresses: netip.MustParsePrefix("203.0.113.5/32"), Outbound: true, Inbound: []Ports{{packet.TCP, 443, 443}}},
		{Addresses: netip.MustParsePrefix("203.0.113.64/30"), Outbound: true},
		{Addresses: netip.MustParsePrefix("203.0.113.9/32"), All: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("nft", "list", "ruleset")
	c.Stdout = os.Stdout
	c.Stderr = os.Stderr
	c.Run()
	ok(t, g.Close())
}
