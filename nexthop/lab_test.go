package nexthop

import (
	"context"
	"log/slog"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"tidegate/packet"
)

// The lab of most tests. The namespaces have no names: they are gone with the test.
//
//	  client                    gateway                       world
//	10.0.0.10/24 cl0 ──── in0 10.0.0.1/24
//	                          out0 203.0.113.1/24 ──── wo0 203.0.113.254/24
//	                                                   lo  198.51.100.7/32
//
// The test runs in the gateway's namespace, on a thread of its own.
type lab struct {
	t                      testing.TB
	gateway, client, world node
}

// node is a network namespace with a netlink handle in it.
type node struct {
	*netlink.Handle
	ns netns.NsHandle
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newLab builds the lab and moves the calling test into the gateway.
func newLab(t testing.TB) *lab {
	t.Helper()
	runtime.LockOSThread()
	home := must(netns.Get())(t)
	t.Cleanup(func() {
		if netns.Set(home) == nil { // a thread that can't go home dies with the test
			runtime.UnlockOSThread()
		}
		home.Close()
	})
	l := &lab{t: t, client: newNode(t), world: newNode(t), gateway: newNode(t)}
	l.cable("in0", "10.0.0.1/24", l.client, "cl0", "10.0.0.10/24")
	l.cable("out0", "203.0.113.1/24", l.world, "wo0", "203.0.113.254/24")
	l.world.address(t, "lo", "198.51.100.7/32")
	l.client.route(t, "0.0.0.0/0", "10.0.0.1", "cl0")
	return l
}

// newNode makes a namespace and leaves the thread in it.
func newNode(t testing.TB) node {
	t.Helper()
	ns := must(netns.New())(t)
	n := node{ns: ns, Handle: must(netlink.NewHandleAt(ns, unix.NETLINK_ROUTE))(t)}
	t.Cleanup(func() { n.Close(); ns.Close() })
	sysctl(t, "ipv6/conf/default/disable_ipv6", "1")
	ok(t, n.LinkSetUp(n.link(t, "lo")))
	return n
}

// cable joins the gateway to a peer.
func (l *lab) cable(name, addr string, peer node, peerName, peerAddr string) {
	l.t.Helper()
	ok(l.t, l.gateway.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: peerName, PeerNamespace: netlink.NsFd(peer.ns)}))
	l.gateway.address(l.t, name, addr)
	peer.address(l.t, peerName, peerAddr)
}

func (n node) link(t testing.TB, name string) netlink.Link {
	t.Helper()
	return must(n.LinkByName(name))(t)
}

func (n node) mac(t testing.TB, name string) net.HardwareAddr {
	t.Helper()
	return n.link(t, name).Attrs().HardwareAddr
}

func (n node) address(t testing.TB, name, addr string) {
	t.Helper()
	ok(t, n.AddrAdd(n.link(t, name), must(netlink.ParseAddr(addr))(t)))
	ok(t, n.LinkSetUp(n.link(t, name)))
}

// route adds or replaces a route; via may be empty.
func (n node) route(t testing.TB, dst, via, dev string, change ...func(*netlink.Route)) {
	t.Helper()
	ok(t, n.RouteReplace(n.newRoute(t, dst, via, dev, change...)))
}

func (n node) newRoute(t testing.TB, dst, via, dev string, change ...func(*netlink.Route)) *netlink.Route {
	t.Helper()
	r := &netlink.Route{Dst: must(netlink.ParseIPNet(dst))(t), Gw: net.ParseIP(via)}
	if dev != "" {
		r.LinkIndex = n.link(t, dev).Attrs().Index
	}
	for _, c := range change {
		c(r)
	}
	return r
}

func (n node) neighbour(t testing.TB, dev, addr, mac string, state int) {
	t.Helper()
	hw, _ := net.ParseMAC(mac)
	ok(t, n.NeighSet(&netlink.Neigh{LinkIndex: n.link(t, dev).Attrs().Index, IP: net.ParseIP(addr), HardwareAddr: hw, State: state}))
}

// in0 moves the test's thread into n for good.
func (l *lab) in0(n node) error { return netns.Set(n.ns) }

// in runs f in another namespace, on the test's thread.
func (l *lab) in(n node, f func()) {
	l.t.Helper()
	if here := must(netns.Get())(l.t); !here.Equal(l.gateway.ns) {
		l.t.Fatal("not on the lab's thread")
	} else {
		here.Close()
	}
	ok(l.t, netns.Set(n.ns))
	defer func() { ok(l.t, netns.Set(l.gateway.ns)) }()
	f()
}

// open opens a Table on the lab's gateway and runs it for the rest of the test.
func (l *lab) open(change ...func(*Options)) *Table {
	l.t.Helper()
	table := l.openOnly(change...)
	l.run(table)
	return table
}

func (l *lab) openOnly(change ...func(*Options)) *Table {
	l.t.Helper()
	o := Options{Inside: "in0", Outside: "out0", Log: slog.New(&records{})}
	for _, c := range change {
		c(&o)
	}
	table := must(Open(o))(l.t)
	l.t.Cleanup(func() { ok(l.t, table.Close()) })
	return table
}

func (l *lab) run(table *Table) {
	done := make(chan error, 1)
	go func() { done <- table.Run(context.Background()) }()
	l.t.Cleanup(func() {
		ok(l.t, table.Close())
		ok(l.t, <-done)
	})
}

// records collects a Table's log.
type records struct {
	slog.Handler
	mu   sync.Mutex
	text []string
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }

func (r *records) Handle(_ context.Context, rec slog.Record) error {
	text := rec.Level.String() + " " + rec.Message
	rec.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = append(r.text, text)
	return nil
}

// count returns how many records contain all words.
func (r *records) count(words ...string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range r.text {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			n++
		}
	}
	return n
}

func (r *records) use(o *Options) { o.Log = slog.New(r) }

// sysctl sets a value in the namespace of the thread, without "net/".
func sysctl(t testing.TB, name, value string) {
	t.Helper()
	ok(t, os.WriteFile("/proc/sys/net/"+name, []byte(value), 0))
}

func addr(s string) packet.Addr { return addrOf(net.ParseIP(s)) }

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

// eventually waits for what the kernel does in its own time.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came: %s", what)
		}
	}
}

// resolve asks for the neighbour in front of dst until it is known, as packets do.
func (l *lab) resolve(table *Table, dst string) {
	l.t.Helper()
	eventually(l.t, dst+" resolved", func() bool {
		_, s := table.Snapshot().Lookup(addr(dst))
		if s != Resolved {
			table.Solicit(addr(dst))
		}
		return s == Resolved
	})
}

// status waits until a Lookup of dst gives want.
func (l *lab) status(table *Table, dst string, want Status) {
	l.t.Helper()
	eventually(l.t, dst+" "+want.String(), func() bool {
		_, s := table.Snapshot().Lookup(addr(dst))
		return s == want
	})
}

// leads waits until dst leaves on that side to that MAC, and checks the whole Hop.
// While the neighbour is unknown it is asked for.
func (l *lab) leads(table *Table, dst string, side Side, to net.HardwareAddr) *Hop {
	l.t.Helper()
	own := l.gateway.mac(l.t, [...]string{"in0", "out0"}[side])
	want := [EtherLen]byte(append(append(slices.Clone(to), own...), 0x08, 0x00))
	var hop *Hop
	eventually(l.t, dst+" by way of "+to.String(), func() bool {
		h, s := table.Snapshot().Lookup(addr(dst))
		if hop = h; s == Unresolved {
			table.Solicit(addr(dst))
		}
		return s == Resolved && h.Ether == want && h.Side == side
	})
	return hop
}
