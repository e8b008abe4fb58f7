package nexthop

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// speak makes a node send a datagram, for which its kernel asks by ARP first.
func (l *lab) speak(from node, to string) {
	l.in(from, func() {
		c := must(net.Dial("udp4", to+":9"))(l.t)
		defer c.Close()
		_, _ = c.Write([]byte("x")) // nobody listens
	})
}

func TestNeighbourMAC(t *testing.T) {
	l := newLab(t)
	l.gateway.route(t, "0.0.0.0/0", "203.0.113.254", "out0")
	table := l.open()
	old := l.leads(table, "8.8.8.8", Outside, l.world.mac(t, "wo0"))
	ok(t, l.world.LinkSetHardwareAddr(l.world.link(t, "wo0"), net.HardwareAddr{2, 0, 0, 0, 0, 7}))
	l.speak(l.world, "203.0.113.1")
	if h := l.leads(table, "8.8.8.8", Outside, net.HardwareAddr{2, 0, 0, 0, 0, 7}); h == old {
		t.Error("a published Hop was changed")
	}
	l.gateway.neighbour(t, "out0", "203.0.113.254", "02:00:00:00:00:08", unix.NUD_PERMANENT)
	l.leads(table, "8.8.8.8", Outside, net.HardwareAddr{2, 0, 0, 0, 0, 8})
	ok(t, l.gateway.NeighDel(&netlink.Neigh{LinkIndex: l.gateway.link(t, "out0").Attrs().Index, IP: net.ParseIP("203.0.113.254")}))
	l.status(table, "8.8.8.8", Unresolved)
}

// TestFlipsAreSilent: a neighbour that grows stale and is confirmed again makes
// no new Snapshot.
func TestFlipsAreSilent(t *testing.T) {
	l := newLab(t)
	table := l.openOnly()
	changes := make(chan event, 100)
	go func() { _ = table.socket.read(changes, table.stop) }()
	const peer = "02:00:00:00:00:09"
	flip := func(mac string, state int) bool {
		t.Helper()
		l.gateway.neighbour(t, "in0", "10.0.0.50", mac, state)
		for e := range changes {
			if e.neighbour != nil && e.neighbour.State == state && e.neighbour.HardwareAddr.String() == mac {
				return table.note(*e.neighbour, e.deleted)
			}
		}
		return false
	}
	for i, c := range []struct {
		mac   string
		state int
		news  bool
	}{
		{peer, unix.NUD_REACHABLE, true}, {peer, unix.NUD_STALE, false}, {peer, unix.NUD_DELAY, false}, {peer, unix.NUD_REACHABLE, false},
		{"02:00:00:00:00:0a", unix.NUD_STALE, true}, {"02:00:00:00:00:0a", unix.NUD_PERMANENT, false},
	} {
		if got := flip(c.mac, c.state); got != c.news {
			t.Errorf("step %d: news %v", i, got)
		}
	}
	ok(t, table.publish())
	before := table.Snapshot()
	flip("02:00:00:00:00:0a", unix.NUD_REACHABLE)
	ok(t, table.publish())
	table.stale, table.lost = true, true
	ok(t, table.publish())
	if table.Snapshot() != before {
		t.Error("a new Snapshot that says the same")
	}
}

// TestSilentNeighbour: one that does not answer is Unreachable, and comes back
// without anybody soliciting it, because it is looked up.
func TestSilentNeighbour(t *testing.T) {
	t.Parallel() // it waits for confirmAgain
	l := newLab(t)
	sysctl(t, "ipv4/neigh/in0/retrans_time_ms", "20")
	table := l.open()
	table.Solicit(addr("10.0.0.99"))
	l.status(table, "10.0.0.99", Unreachable)
	l.client.address(t, "cl0", "10.0.0.99/24")
	l.leads(table, "10.0.0.99", Inside, l.client.mac(t, "cl0"))
}

// TestStaleNeighbourIsConfirmed: a neighbour that moved to another MAC without a
// word is noticed, as long as it is in use, and one that is not in use is left to
// the kernel.
func TestStaleNeighbourIsConfirmed(t *testing.T) {
	t.Parallel() // it waits for the kernel's DELAY and for confirmAgain
	l := newLab(t)
	l.client.address(t, "cl0", "10.0.0.11/24")
	sysctl(t, "ipv4/neigh/in0/delay_first_probe_time", "1")
	sysctl(t, "ipv4/neigh/in0/retrans_time_ms", "20")
	const wrong = "02:00:00:00:00:0b"
	l.gateway.neighbour(t, "in0", "10.0.0.10", wrong, unix.NUD_STALE)
	l.gateway.neighbour(t, "in0", "10.0.0.11", wrong, unix.NUD_STALE)
	table := l.open()
	l.leads(table, "10.0.0.10", Inside, l.client.mac(t, "cl0"))
	if n := must(l.gateway.NeighList(l.gateway.link(t, "in0").Attrs().Index, netlink.FAMILY_V4))(t); len(n) != 2 ||
		n[0].State|n[1].State != unix.NUD_STALE|unix.NUD_REACHABLE {
		t.Errorf("neighbours: %+v", n)
	}
}

// TestFixedNeighbourStays: to ask for a permanent neighbour would make it mortal.
func TestFixedNeighbourStays(t *testing.T) {
	l := newLab(t)
	l.gateway.neighbour(t, "in0", "10.0.0.10", "02:00:00:00:00:0c", unix.NUD_PERMANENT)
	l.client.address(t, "cl0", "10.0.0.11/24")
	table := l.open()
	table.Solicit(addr("10.0.0.10"))
	l.resolve(table, "10.0.0.11") // asked for later
	l.leads(table, "10.0.0.10", Inside, net.HardwareAddr{2, 0, 0, 0, 0, 0xc})
}
