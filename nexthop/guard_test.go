package nexthop

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"tidegate/packet"
)

// carriedFrontend is on the outside interface itself, as on a host with one address.
const carriedFrontend = "203.0.113.5"

var guarded = GuardOptions{Inside: "in0", Outside: "out0", Frontends: []Guarded{
	{Addresses: netip.MustParsePrefix(carriedFrontend + "/32"), Outbound: true, Inbound: []Ports{{packet.TCP, 443, 443}, {packet.UDP, 500, 510}}},
	{Addresses: netip.MustParsePrefix("203.0.113.6/32"), Inbound: []Ports{{packet.TCP, 2222, 2222}}},
	{Addresses: netip.MustParsePrefix("203.0.113.9/32"), All: true},
	{Addresses: netip.MustParsePrefix("203.0.113.64/30"), Outbound: true},
}}

// forwarding makes the gateway's kernel a router, and the peers use it.
func (l *lab) forwarding() {
	l.t.Helper()
	sysctl(l.t, "ipv4/ip_forward", "1")
	l.world.route(l.t, "10.0.0.0/24", "203.0.113.1", "wo0")
	l.gateway.route(l.t, "0.0.0.0/0", "203.0.113.254", "out0")
}

// dropped returns the guard's counters by chain and comment, those above zero.
func dropped(t testing.TB) map[string]uint64 {
	t.Helper()
	tx := must(openGuardTx())(t)
	counts := map[string]uint64{}
	for _, c := range must(tx.ListChainsOfTableFamily(nftables.TableFamilyNetdev))(t) {
		for _, r := range must(tx.GetRules(tx.table, c))(t) {
			why, _ := userdata.GetString(r.UserData, userdata.TypeComment)
			for _, e := range r.Exprs {
				if n, is := e.(*expr.Counter); is && n.Packets > 0 {
					counts[c.Name+": "+why] += n.Packets
				}
			}
		}
	}
	return counts
}

// reaches reports whether a datagram gets through; if not, the guard has to have
// counted it.
func (l *lab) reaches(from, to node, dst string) bool {
	l.t.Helper()
	var c net.PacketConn
	l.in(to, func() { c = must(net.ListenPacket("udp4", dst+":7"))(l.t) })
	defer c.Close()
	before := dropped(l.t)
	l.in(from, func() {
		s := must(net.Dial("udp4", dst+":7"))(l.t)
		defer s.Close()
		must(s.Write([]byte("leak")))(l.t)
	})
	arrived := false
	eventually(l.t, "the datagram to "+dst+", or a count of it", func() bool {
		ok(l.t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
		_, _, err := c.ReadFrom(make([]byte, 10))
		arrived = err == nil
		return arrived || !maps.Equal(before, dropped(l.t))
	})
	return arrived
}

func TestGuardStopsForwarding(t *testing.T) {
	l := newLab(t)
	l.forwarding()
	check := func(when string, want bool) {
		t.Helper()
		if out, in := l.reaches(l.client, l.world, "198.51.100.7"), l.reaches(l.world, l.client, "10.0.0.10"); out != want || in != want {
			t.Errorf("%s: out %v, in %v", when, out, in)
		}
	}
	check("before", true)
	g := must(InstallGuard(guarded))(t)
	check("guarded", false)
	if n := dropped(t); n["inside: only the gateway forwards"] != 1 || n["outside: only the gateway forwards"] != 1 {
		t.Errorf("counters: %v", n)
	}
	ok(t, g.Close())
	check("after", true)
	ok(t, g.Close()) // there is nothing to remove any more
}

// TestGuardLeavesTheHostItsOwn: of an address that both use, each keeps its ports.
func TestGuardLeavesTheHostItsOwn(t *testing.T) {
	l := newLab(t)
	l.gateway.address(t, "out0", carriedFrontend+"/24")
	dial := func(port int) (err error) {
		l.in(l.world, func() {
			var c net.Conn
			if c, err = net.DialTimeout("tcp4", fmt.Sprintf("%s:%d", carriedFrontend, port), 200*time.Millisecond); err == nil {
				c.Close()
			}
		})
		return err
	}
	ssh := must(net.Listen("tcp4", ":22"))(t)
	defer ssh.Close()
	for _, port := range []int{443, 5000} {
		if err := dial(port); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("unguarded port %d: %v", port, err)
		}
	}
	must(InstallGuard(guarded))(t)
	ok(t, dial(22))
	if err := dial(23); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("port 23, the host's: %v", err)
	}
	for _, port := range []int{443, 5000} {
		var timeout net.Error
		if err := dial(port); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("guarded port %d: %v", port, err)
		}
	}
}

// TestGatewayStillSees: what the guard drops has been given to packet sockets.
func TestGatewayStillSees(t *testing.T) {
	l := newLab(t)
	must(InstallGuard(guarded))(t)
	tap := l.wire(l.gateway, "out0", unix.ETH_P_ALL)
	w := l.wire(l.world, "wo0", unix.ETH_P_ALL)
	sent := w.ip(mac(l.gateway.mac(t, "out0")), "8.8.8.8", packet.UDP, 0)
	w.send(sent)
	ok(t, tap.conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	for b := make([]byte, 100); ; {
		n, _, err := tap.conn.ReadFrom(b)
		ok(t, err)
		if string(b[:n]) == string(sent) {
			break
		}
	}
	eventually(t, "the drop", func() bool { return dropped(t)["outside: only the gateway forwards"] == 1 })
}

// TestGuardIsReplacedAtomically replaces it again and again under traffic that the
// kernel would forward at any moment without it.
func TestGuardIsReplacedAtomically(t *testing.T) {
	l := newLab(t)
	l.forwarding()
	if !l.reaches(l.client, l.world, "198.51.100.7") {
		t.Fatal("the lab does not forward")
	}
	var sink net.PacketConn
	l.in(l.world, func() { sink = must(net.ListenPacket("udp4", "198.51.100.7:40000"))(t) })
	defer sink.Close()
	g := must(InstallGuard(guarded))(t)
	w := l.wire(l.client, "cl0", unix.ETH_P_ALL)
	frame, stop, stopped := udpFrame(l.gateway.mac(t, "in0"), "198.51.100.7", 40000), make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; !closed(stop); n++ {
			w.send(frame)
		}
		stopped <- n
	}()
	for i := range 50 {
		o := guarded
		o.Frontends = o.Frontends[:i%len(o.Frontends)]
		must(InstallGuard(o))(t)
	}
	close(stop)
	sent := <-stopped
	ok(t, sink.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	if n, _, err := sink.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("a packet of %d bytes leaked among %d", n, sent)
	}
	ok(t, g.Close())
	if sent < 1000 || !l.reaches(l.client, l.world, "198.51.100.7") {
		t.Errorf("the lab did not forward after %d packets", sent)
	}
}

// TestGuardSurvivesKill: a gateway that dies without a word leaves the guard, and
// the next one takes over.
func TestGuardSurvivesKill(t *testing.T) {
	if os.Getenv("NEXTHOP_TEST_GUARD") != "" {
		must(InstallGuard(guarded))(t)
		fmt.Println("guarded")
		select {}
	}
	l := newLab(t)
	l.forwarding()
	child := exec.Command(os.Args[0], "-test.run", "^TestGuardSurvivesKill$")
	child.Env = append(os.Environ(), "NEXTHOP_TEST_GUARD=1")
	out := must(child.StdoutPipe())(t)
	ok(t, child.Start()) // forked by this thread, in its namespace
	for line := bufio.NewScanner(out); line.Scan() && line.Text() != "guarded"; {
	}
	ok(t, child.Process.Kill())
	_ = child.Wait()
	if l.reaches(l.client, l.world, "198.51.100.7") {
		t.Error("it leaks")
	}
	g := must(InstallGuard(GuardOptions{Inside: "in0", Outside: "out0"}))(t)
	if n := dropped(t); len(n) != 0 {
		t.Errorf("the old table is still there: %v", n)
	}
	ok(t, g.Close())
	if tables := must(must(openGuardTx())(t).ListTablesOfFamily(nftables.TableFamilyNetdev))(t); len(tables) != 0 {
		t.Errorf("left behind: %+v", tables)
	}
}

// TestGuardTakesMany: more elements than fit in one message.
func TestGuardTakesMany(t *testing.T) {
	newLab(t)
	o := GuardOptions{Inside: "in0", Outside: "out0"}
	for i := range 2000 {
		p := netip.PrefixFrom(addr("198.18.0.0").Netip(), 32)
		p = netip.PrefixFrom((packet.AddrFrom(p.Addr()) + packet.Addr(i)).Netip(), 32)
		o.Frontends = append(o.Frontends, Guarded{Addresses: p, Outbound: i%2 == 0, Inbound: []Ports{{packet.TCP, 80, 80}, {packet.UDP, 53, 53}}})
	}
	ok(t, must(InstallGuard(o))(t).Close())
}

func TestGuardErrors(t *testing.T) {
	newLab(t)
	if _, err := InstallGuard(GuardOptions{Inside: "in0", Outside: "nosuch0"}); err == nil || err.Error() != `nexthop: guard outside interface "nosuch0": there is no such interface` {
		t.Error(err)
	}
	for cause, says := range map[error]string{unix.EPERM: "CAP_NET_ADMIN", unix.EOPNOTSUPP: "modules nf_tables", unix.ENOENT: "datapath tun"} {
		if err := explainGuard("install guard", fmt.Errorf("receive: %w", cause)); !errors.Is(err, cause) || !strings.Contains(err.Error(), says) {
			t.Error(err)
		}
	}
}

func TestHasVLANs(t *testing.T) {
	links := []netlink.Link{
		&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 2}},
		&netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Index: 3, ParentIndex: 2}},
		&netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Index: 4, ParentIndex: 3}},
	}
	if !hasVLANs(links, 2) || hasVLANs(links, 3) {
		t.Error("VLANs on the wrong interface")
	}
}

// TestDisjoint: the runs say of each address and port what the frontends say.
func TestDisjoint(t *testing.T) {
	covers := func(ps []Ports, p packet.Protocol, port uint16) bool {
		return slices.ContainsFunc(ps, func(r Ports) bool { return r.Protocol == p && r.First <= port && port <= r.Last })
	}
	rapid.Check(t, func(t *rapid.T) {
		frontends := rapid.SliceOfN(rapid.Custom(genGuarded), 0, 6).Draw(t, "frontends")
		runs := disjoint(frontends)
		for i := 1; i < len(runs); i++ {
			if runs[i].first <= runs[i-1].last {
				t.Fatalf("runs overlap: %+v", runs)
			}
		}
		for range 50 {
			a := packet.Addr(0xfffffff0 + rapid.Uint32Range(0, 15).Draw(t, "addr"))
			port := rapid.Uint16Range(0, 20).Draw(t, "port")
			var want owned
			known := false
			for _, f := range frontends {
				if f.Addresses.Contains(a.Netip()) {
					known = true
					want.all, want.outbound = want.all || f.All, want.outbound || f.Outbound
					want.ports = append(want.ports, f.Inbound...)
				}
			}
			at := slices.IndexFunc(runs, func(r owned) bool { return r.first <= a && a <= r.last })
			if (at >= 0) != known {
				t.Fatalf("%s in a run: %v", a, at >= 0)
			}
			if known && (runs[at].all != want.all || runs[at].outbound != want.outbound ||
				covers(runs[at].ports, packet.TCP, port) != covers(want.ports, packet.TCP, port)) {
				t.Fatalf("%s:%d: %+v, want %+v", a, port, runs[at], want)
			}
		}
	})
}

func genGuarded(t *rapid.T) Guarded {
	a := packet.Addr(0xfffffff0 + rapid.Uint32Range(0, 15).Draw(t, "addr"))
	g := Guarded{Addresses: netip.PrefixFrom(a.Netip(), rapid.IntRange(28, 32).Draw(t, "bits")),
		All: rapid.Bool().Draw(t, "all"), Outbound: rapid.Bool().Draw(t, "outbound")}
	for range rapid.IntRange(0, 3).Draw(t, "rules") {
		first := rapid.Uint16Range(0, 20).Draw(t, "first")
		g.Inbound = append(g.Inbound, Ports{rapid.SampledFrom([]packet.Protocol{packet.TCP, packet.UDP}).Draw(t, "proto"),
			first, first + rapid.Uint16Range(0, 5).Draw(t, "more")})
	}
	return g
}
