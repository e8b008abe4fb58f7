package nexthop

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestLinkFlap(t *testing.T) {
	l := newLab(t)
	l.gateway.route(t, "0.0.0.0/0", "203.0.113.254", "out0")
	table := l.open()
	l.leads(table, "8.8.8.8", Outside, l.world.mac(t, "wo0"))

	ok(t, l.world.LinkSetDown(l.world.link(t, "wo0"))) // the cable is pulled
	l.status(table, "8.8.8.8", Unreachable)
	ok(t, l.world.LinkSetUp(l.world.link(t, "wo0")))
	l.resolve(table, "8.8.8.8")
	l.leads(table, "8.8.8.8", Outside, l.world.mac(t, "wo0"))

	ok(t, l.gateway.LinkSetDown(l.gateway.link(t, "out0"))) // the kernel drops the routes
	l.status(table, "203.0.113.254", Unreachable)
	if table.Snapshot().Link(Outside).Up {
		t.Error("the link is still up")
	}
	ok(t, l.gateway.LinkSetUp(l.gateway.link(t, "out0")))
	l.status(table, "8.8.8.8", NoRoute)
	l.gateway.route(t, "0.0.0.0/0", "203.0.113.254", "out0")
	l.resolve(table, "8.8.8.8")
}

func TestLinkChanges(t *testing.T) {
	l := newLab(t)
	table := l.open()
	l.resolve(table, "203.0.113.254")
	ok(t, l.gateway.LinkSetMTU(l.gateway.link(t, "out0"), 1280))
	eventually(t, "the new MTU", func() bool {
		h, _ := table.Snapshot().Lookup(addr("203.0.113.254"))
		return h != nil && h.MTU == 1280
	})
	ok(t, l.gateway.LinkSetHardwareAddr(l.gateway.link(t, "out0"), net.HardwareAddr{2, 0, 0, 0, 0, 1}))
	eventually(t, "the new MAC", func() bool { return table.Snapshot().Link(Outside).MAC.String() == "02:00:00:00:00:01" })
	l.resolve(table, "203.0.113.254") // the kernel may have forgotten it
	l.leads(table, "203.0.113.254", Outside, l.world.mac(t, "wo0"))
}

// TestMultipathSkipsDead: a nexthop without carrier is not used, and with the last
// one the route is not there.
func TestMultipathSkipsDead(t *testing.T) {
	l := newLab(t)
	l.gateway.route(t, "0.0.0.0/0", "10.0.0.10", "in0", func(r *netlink.Route) { r.Priority = 500 })
	l.gateway.route(t, "8.8.8.0/24", "", "", func(r *netlink.Route) {
		r.MultiPath = []*netlink.NexthopInfo{
			{LinkIndex: l.gateway.link(t, "out0").Attrs().Index, Gw: net.ParseIP("203.0.113.254")},
			{LinkIndex: l.gateway.link(t, "in0").Attrs().Index, Gw: net.ParseIP("10.0.0.10")},
		}
	})
	l.gateway.route(t, "9.9.9.0/24", "203.0.113.254", "out0")
	table := l.open()
	l.leads(table, "8.8.8.8", Outside, l.world.mac(t, "wo0"))
	ok(t, l.world.LinkSetDown(l.world.link(t, "wo0")))
	l.resolve(table, "10.0.0.10")
	l.leads(table, "8.8.8.8", Inside, l.client.mac(t, "cl0"))
	l.leads(table, "9.9.9.9", Inside, l.client.mac(t, "cl0")) // the next metric's turn
}

// TestDeadElsewhere: a route over an interface that is not ours counts only while
// that one has a carrier.
func TestDeadElsewhere(t *testing.T) {
	l := newLab(t)
	third := newNode(t)
	ok(t, l.in0(l.gateway))
	l.cable("dmz0", "172.16.0.1/24", third, "th0", "172.16.0.2/24")
	l.gateway.route(t, "0.0.0.0/0", "172.16.0.2", "dmz0")
	l.gateway.route(t, "0.0.0.0/0", "203.0.113.254", "out0", func(r *netlink.Route) { r.Priority = 500 })
	table := l.open()
	l.status(table, "8.8.8.8", Elsewhere)
	ok(t, third.LinkSetDown(third.link(t, "th0")))
	l.leads(table, "8.8.8.8", Outside, l.world.mac(t, "wo0"))
	ok(t, third.LinkSetUp(third.link(t, "th0")))
	l.status(table, "8.8.8.8", Elsewhere)
	ok(t, l.gateway.LinkDel(l.gateway.link(t, "dmz0"))) // its routes go without an event
	l.leads(table, "8.8.8.8", Outside, l.world.mac(t, "wo0"))
}

func TestLinkRemoved(t *testing.T) {
	l := newLab(t)
	l.gateway.route(t, "0.0.0.0/0", "203.0.113.254", "out0")
	var log records
	table := l.open(log.use)
	l.resolve(table, "8.8.8.8")
	l.resolve(table, "10.0.0.10")
	ok(t, l.gateway.LinkDel(l.gateway.link(t, "out0")))
	l.status(table, "8.8.8.8", Unreachable)
	l.status(table, "10.0.0.10", Resolved)
	if n := log.count("ERROR", "outside", "out0", "restart the gateway"); n != 1 {
		t.Errorf("%d errors: %q", n, log.text)
	}
	if table.Snapshot().Link(Outside).Index != 0 {
		t.Error("the interface still has an index")
	}
}
