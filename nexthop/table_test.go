package nexthop

import (
	"testing"

	"github.com/vishvananda/netlink"
)

func TestDefaultRoute(t *testing.T) {
	l := newLab(t)
	l.gateway.route(t, "0.0.0.0/0", "203.0.113.254", "out0")
	table := l.open()
	if h, s := table.Snapshot().Lookup(addr("8.8.8.8")); s != Unresolved || h != nil {
		t.Fatalf("before: %v", s)
	}
	l.resolve(table, "8.8.8.8")
	l.leads(table, "8.8.8.8", Outside, l.world.mac(t, "wo0"))
	l.resolve(table, "10.0.0.10")
	l.leads(table, "10.0.0.10", Inside, l.client.mac(t, "cl0"))
	_ = netlink.NTF_USE
}
