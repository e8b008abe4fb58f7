package nexthop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tidegate/packet"
)

func TestOpenRefuses(t *testing.T) {
	l := newLab(t)
	ok(t, l.gateway.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun0"}, Mode: netlink.TUNTAP_MODE_TUN}))
	for _, c := range []struct{ inside, outside, says string }{
		{"nosuch0", "out0", `nexthop: find inside interface "nosuch0": `},
		{"in0", "in0", "use two interfaces"},
		{"in0", "tun0", "use datapath tun"},
	} {
		table, err := Open(Options{Inside: c.inside, Outside: c.outside})
		if err == nil || table != nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %s: %v", c.inside, c.outside, err)
		}
	}
}

func TestSolicitResolves(t *testing.T) {
	l := newLab(t)
	l.gateway.route(t, "0.0.0.0/0", "203.0.113.254", "out0")
	table := l.openOnly()
	if h, s := table.Snapshot().Lookup(addr("8.8.8.8")); s != Unresolved || h != nil {
		t.Fatalf("nobody asked, and yet: %v", s)
	}
	l.run(table)
	table.Solicit(addr("10.0.0.10"))
	l.status(table, "10.0.0.10", Resolved)
	h := l.leads(table, "10.0.0.10", Inside, l.client.mac(t, "cl0"))
	if h.MTU != 1500 || h.Neighbour != addr("10.0.0.10") {
		t.Errorf("hop: %+v", h.Neighbour)
	}
	l.status(table, "8.8.8.8", Resolved) // a gateway is asked for unsolicited
	h = l.leads(table, "8.8.8.8", Outside, l.world.mac(t, "wo0"))
	if h.Neighbour != addr("203.0.113.254") {
		t.Errorf("neighbour %s", h.Neighbour)
	}
	<-table.Changed()
}

func TestRoutesAreFollowed(t *testing.T) {
	l := newLab(t)
	l.world.address(t, "wo0", "192.0.2.1/32") // on the link, outside of its subnet
	l.world.address(t, "wo0", "203.0.113.253/24")
	table := l.open()
	world, client := l.world.mac(t, "wo0"), l.client.mac(t, "cl0")
	l.status(table, "8.8.8.8", NoRoute)

	l.gateway.route(t, "0.0.0.0/0", "192.0.2.1", "out0", func(r *netlink.Route) { r.SetFlag(netlink.FLAG_ONLINK); r.Priority = 100 })
	l.status(table, "8.8.8.8", Unresolved)
	l.resolve(table, "8.8.8.8")
	if h := l.leads(table, "8.8.8.8", Outside, world); h.Neighbour != addr("192.0.2.1") {
		t.Errorf("onlink gateway: %s", h.Neighbour)
	}

	l.gateway.route(t, "8.8.0.0/16", "10.0.0.10", "")
	l.resolve(table, "8.8.8.8")
	l.leads(table, "8.8.8.8", Inside, client)
	l.leads(table, "9.9.9.9", Outside, world)
	ok(t, l.gateway.RouteDel(l.gateway.newRoute(t, "8.8.0.0/16", "10.0.0.10", "")))
	l.leads(table, "8.8.8.8", Outside, world)

	better := l.gateway.newRoute(t, "0.0.0.0/0", "10.0.0.10", "", func(r *netlink.Route) { r.Priority = 50 })
	ok(t, l.gateway.RouteAdd(better))
	l.leads(table, "8.8.8.8", Inside, client)
	ok(t, l.gateway.RouteDel(better))
	l.leads(table, "8.8.8.8", Outside, world)

	l.gateway.route(t, "0.0.0.0/0", "203.0.113.253", "out0", func(r *netlink.Route) { r.Priority = 100 })
	l.resolve(table, "8.8.8.8")
	eventually(t, "the new gateway", func() bool {
		h, _ := table.Snapshot().Lookup(addr("8.8.8.8"))
		return h != nil && h.Neighbour == addr("203.0.113.253")
	})
}

// typed is a lab with a third interface and a route of every type.
func typed(t *testing.T) *lab {
	l := newLab(t)
	third := newNode(t)
	ok(t, l.in0(l.gateway))
	l.cable("dmz0", "172.16.0.1/24", third, "th0", "172.16.0.2/24")
	kind := func(k int) func(*netlink.Route) { return func(r *netlink.Route) { r.Type = k } }
	l.gateway.route(t, "0.0.0.0/0", "203.0.113.254", "out0")
	l.gateway.route(t, "192.0.2.0/26", "", "", kind(unix.RTN_BLACKHOLE))
	l.gateway.route(t, "192.0.2.64/26", "", "", kind(unix.RTN_PROHIBIT))
	l.gateway.route(t, "192.0.2.128/26", "", "", kind(unix.RTN_UNREACHABLE))
	l.gateway.route(t, "192.0.2.192/26", "", "", kind(unix.RTN_THROW))
	l.gateway.route(t, "192.0.2.200/32", "", "", func(r *netlink.Route) { r.Type, r.Table = unix.RTN_BLACKHOLE, unix.RT_TABLE_DEFAULT })
	l.gateway.route(t, "198.18.0.0/15", "172.16.0.2", "dmz0")
	l.gateway.route(t, "100.64.0.0/10", "", "lo", func(r *netlink.Route) {
		r.Type, r.Table, r.Scope = unix.RTN_LOCAL, unix.RT_TABLE_LOCAL, unix.RT_SCOPE_HOST
	})
	l.gateway.route(t, "198.51.100.0/24", "", "", func(r *netlink.Route) {
		r.MultiPath = []*netlink.NexthopInfo{
			{LinkIndex: l.gateway.link(t, "dmz0").Attrs().Index, Gw: net.ParseIP("172.16.0.2")},
			{LinkIndex: l.gateway.link(t, "in0").Attrs().Index, Gw: net.ParseIP("10.0.0.10")},
			{LinkIndex: l.gateway.link(t, "out0").Attrs().Index, Gw: net.ParseIP("203.0.113.254")},
		}
	})
	l.gateway.route(t, "198.51.101.0/24", "10.0.0.10", "", func(r *netlink.Route) { r.MTU = 1400 })
	return l
}

func TestRouteTypes(t *testing.T) {
	l := typed(t)
	table := l.open()
	for _, a := range []string{"8.8.8.8", "198.51.100.1", "198.51.101.1", "10.0.0.10"} {
		l.resolve(table, a)
	}
	for dst, want := range map[string]Status{
		"192.0.2.1": Elsewhere, "192.0.2.65": Elsewhere, "192.0.2.129": Unreachable,
		"192.0.2.193": NoRoute, "192.0.2.200": Elsewhere, // throw ends the search in main, default's turn
		"198.18.0.1": Elsewhere, "172.16.0.2": Elsewhere, "10.0.0.1": Elsewhere, "10.0.0.255": Elsewhere,
		"127.0.0.1": Elsewhere, "100.64.1.2": Elsewhere, "10.0.0.77": Unresolved,
	} {
		if _, s := table.Snapshot().Lookup(addr(dst)); s != want {
			t.Errorf("%s: %v, want %v", dst, s, want)
		}
	}
	l.leads(table, "198.51.100.1", Inside, l.client.mac(t, "cl0"))
	if a, b := l.leads(table, "198.51.101.1", Inside, l.client.mac(t, "cl0")), l.leads(table, "10.0.0.10", Inside, l.client.mac(t, "cl0")); a.MTU != 1400 || b.MTU != 1500 {
		t.Errorf("MTU %d by route, %d by interface", a.MTU, b.MTU)
	}
	for a, want := range map[string]bool{"10.0.0.1": true, "203.0.113.1": true, "172.16.0.1": true, "100.64.1.2": true,
		"10.0.0.255": true, "203.0.113.254": false, "8.8.8.8": false} {
		if table.Snapshot().Carried(addr(a)) != want {
			t.Errorf("%s carried: %v", a, !want)
		}
	}
}

func TestCarriedFollowsAddresses(t *testing.T) {
	l := newLab(t)
	table := l.open()
	frontend := must(netlink.ParseAddr("203.0.113.5/32"))(t)
	ok(t, l.gateway.AddrAdd(l.gateway.link(t, "lo"), frontend))
	eventually(t, "carried", func() bool { return table.Snapshot().Carried(addr("203.0.113.5")) })
	ok(t, l.gateway.AddrDel(l.gateway.link(t, "lo"), frontend))
	eventually(t, "not carried", func() bool { return !table.Snapshot().Carried(addr("203.0.113.5")) })
	if got := table.Snapshot().Link(Outside).Address; got != addr("203.0.113.1") {
		t.Errorf("address of the outside: %s", got)
	}
}

// manyRoutes adds random routes of all kinds, around and inside one another.
func (l *lab) manyRoutes(random *rand.Rand) {
	hops := []struct{ dev, via string }{{"in0", "10.0.0.10"}, {"out0", "203.0.113.254"}, {"out0", ""}, {"dmz0", "172.16.0.2"}, {"", ""}}
	for range 300 {
		dst := packet.Addr(0x64000000 | random.Uint32()&0x00030303)
		bits := 8 + random.IntN(25)
		dst &^= route{bits: bits}.last()
		h := hops[random.IntN(len(hops))]
		// Routes may repeat; the kernel refuses those and so they are not there.
		_ = l.gateway.RouteAdd(l.gateway.newRoute(l.t, fmt.Sprintf("%s/%d", dst, bits), h.via, h.dev, func(r *netlink.Route) {
			r.Priority = 1 + random.IntN(3)
			if h.dev == "" {
				r.Type = []int{unix.RTN_BLACKHOLE, unix.RTN_UNREACHABLE, unix.RTN_THROW}[random.IntN(3)]
			}
		}))
	}
}

// TestAgainstTheKernel compares with what the kernel says for each of many
// destinations under many random routes.
func TestAgainstTheKernel(t *testing.T) {
	l := newLab(t)
	third := newNode(t)
	ok(t, l.in0(l.gateway))
	l.cable("dmz0", "172.16.0.1/24", third, "th0", "172.16.0.2/24")
	random := rand.New(rand.NewPCG(1, 2))
	l.manyRoutes(random)
	index := map[int]Side{l.gateway.link(t, "in0").Attrs().Index: Inside, l.gateway.link(t, "out0").Attrs().Index: Outside}
	s := l.openOnly().Snapshot()
	seen := map[Status]int{}
	for range 3000 {
		dst := packet.Addr(0x64000000 | random.Uint32()&0x00070707)
		to := s.routes.find(dst)
		status := s.final(to)
		seen[status]++
		got, err := l.gateway.RouteGet(ipOf(dst))
		if status != Resolved {
			if side, ours := index[linkOf(got)]; err == nil && ours {
				t.Fatalf("%s is %v, but leaves %v", dst, status, side)
			}
			continue
		}
		if err != nil || index[linkOf(got)] != s.routes.legs[to.leg].side || addrOf(got[0].Gw) != to.gateway {
			t.Fatalf("%s: %+v, the kernel says %+v %v", dst, to, got, err)
		}
	}
	for _, status := range []Status{Resolved, NoRoute, Elsewhere, Unreachable} {
		if seen[status] < 50 {
			t.Errorf("only %d destinations were %v", seen[status], status)
		}
	}
}

func linkOf(r []netlink.Route) int {
	if len(r) == 0 {
		return 0
	}
	return r[0].LinkIndex
}

func TestRulesAreNamedOnce(t *testing.T) {
	l := newLab(t)
	for pref, table := range map[int]int{100: 100, 200: 200} {
		r := netlink.NewRule()
		r.Priority, r.Table, r.IifName = pref, table, "in0"
		ok(t, l.gateway.RuleAdd(r))
	}
	var log records
	table := l.open(log.use, func(o *Options) { o.IgnoreRules = []int{200} })
	if n := log.count("WARN", "100: from all to all iif in0 lookup 100"); n != 1 {
		t.Fatalf("%d warnings: %q", n, log.text)
	}
	r := netlink.NewRule()
	r.Priority, r.Table, r.Src = 300, 100, must(netlink.ParseIPNet("10.0.0.0/24"))(t)
	ok(t, l.gateway.RuleAdd(r))
	eventually(t, "warning of a new rule", func() bool { return log.count("300: from 10.0.0.0/24 to all lookup 100") == 1 })
	l.gateway.route(t, "192.0.2.0/24", "203.0.113.254", "")
	l.status(table, "192.0.2.1", Unresolved)
	if n := log.count("ip rule"); n != 2 {
		t.Errorf("%d warnings of rules: %q", n, log.text)
	}
}

// TestOverrun loses events: the socket holds only a few, and hundreds come before
// anybody reads. One that says so brings everything back.
func TestOverrun(t *testing.T) {
	l := newLab(t)
	table := l.openOnly()
	ok(t, table.socket.socket.SetReceiveBufferSize(1, false))
	var last string
	for i := range 500 {
		last = fmt.Sprintf("10.0.0.%d", 11+i%200)
		l.gateway.neighbour(t, "in0", last, fmt.Sprintf("02:00:00:00:%02x:%02x", i>>8, i&0xff), unix.NUD_REACHABLE)
	}
	l.gateway.route(t, "8.8.8.0/24", last, "in0")
	changes := make(chan event)
	go func() { _ = table.socket.read(changes, table.stop) }()
	for e := range changes {
		if e.lost {
			table.absorb(e)
			break
		}
	}
	ok(t, table.publish())
	if h, s := table.Snapshot().Lookup(addr("8.8.8.8")); s != Resolved || mac(h.Ether[:6]) != (mac{2, 0, 0, 0, 1, 0xf3}) {
		t.Errorf("%v %v", s, h)
	}
	l.leads(table, "10.0.0.11", Inside, net.HardwareAddr{2, 0, 0, 0, 1, 0x90})
}

func TestCloseEndsRun(t *testing.T) {
	l := newLab(t)
	table := l.openOnly()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ok(t, table.Run(ctx))
	ok(t, table.Close())
	ok(t, table.Close())
	if !slices.ContainsFunc(table.Snapshot().routes.spans, func(s span) bool { return s.to.local }) {
		t.Error("the last Snapshot is gone")
	}
}
