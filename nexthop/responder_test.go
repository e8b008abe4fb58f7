package nexthop

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	socket "github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tidegate/packet"
)

// wire is a packet socket of a test on a peer's interface.
type wire struct {
	t    testing.TB
	conn *socket.Conn
	own  mac
}

func (l *lab) wire(n node, dev string, protocol int) *wire {
	l.t.Helper()
	w := &wire{t: l.t}
	l.in(n, func() {
		link := n.link(l.t, dev)
		copy(w.own[:], link.Attrs().HardwareAddr)
		w.conn = must(socket.Listen(&net.Interface{Index: link.Attrs().Index}, socket.Raw, protocol, nil))(l.t)
	})
	l.t.Cleanup(func() { w.conn.Close() })
	return w
}

func (w *wire) send(frame []byte) {
	w.t.Helper()
	must(w.conn.WriteTo(frame, &socket.Addr{HardwareAddr: frame[:6]}))(w.t)
}

// ask sends a request for target, from sender.
func (w *wire) ask(sender, target string) {
	w.t.Helper()
	w.send(arp{op: arpRequest, senderMAC: w.own, sender: addr(sender), target: addr(target), destination: broadcast, source: w.own}.frame())
}

// next returns the next ARP packet that is about target or comes from it, decoded by
// somebody else's decoder, or nil after the time.
func (w *wire) next(about string, wait time.Duration) *layers.ARP {
	w.t.Helper()
	ok(w.t, w.conn.SetReadDeadline(time.Now().Add(wait)))
	b := make([]byte, 2048)
	for {
		n, _, err := w.conn.ReadFrom(b)
		if errors.Is(err, unix.ENETDOWN) {
			continue // once, after the cable was pulled
		}
		if err != nil {
			return nil
		}
		p := gopacket.NewPacket(b[:n], layers.LayerTypeEthernet, gopacket.Default)
		a, isARP := p.Layer(layers.LayerTypeARP).(*layers.ARP)
		if isARP && (about == "" || net.IP(a.SourceProtAddress).String() == about) {
			return a
		}
	}
}

const frontend = "203.0.113.5"

var frontends = []netip.Prefix{netip.MustParsePrefix(frontend + "/32"), netip.MustParsePrefix("203.0.113.64/30")}

// mute makes the gateway's kernel answer no ARP at all, so that all that is
// answered is the Table's doing.
func mute(t *testing.T) { sysctl(t, "ipv4/conf/all/arp_ignore", "8") }

func TestARPAnswers(t *testing.T) {
	l := newLab(t)
	mute(t)
	table := l.open()
	table.Answer(Outside, frontends)
	w := l.wire(l.world, "wo0", unix.ETH_P_ARP)
	out0 := l.gateway.mac(t, "out0").String()
	for _, c := range []struct{ sender, target string }{
		{"203.0.113.254", frontend},
		{"203.0.113.254", "203.0.113.67"}, // the last of a prefix
		{"0.0.0.0", frontend},             // a probe
	} {
		w.ask(c.sender, c.target)
		a := w.reply(c.target)
		if a == nil || net.HardwareAddr(a.SourceHwAddress).String() != out0 ||
			net.IP(a.DstProtAddress).String() != c.sender || mac(a.DstHwAddress) != w.own {
			t.Errorf("%+v: %+v", c, a)
		}
	}
	for _, target := range []string{"203.0.113.68", "203.0.113.1", "198.51.100.7"} {
		w.silent("", target)
	}
}

// reply skips announcements, which are requests.
func (w *wire) reply(from string) *layers.ARP {
	w.t.Helper()
	for {
		if a := w.next(from, time.Second); a == nil || a.Operation == arpReply {
			return a
		}
	}
}

// silent asks for target and then for something that is answered for certain: the
// first reply must be the latter's.
func (w *wire) silent(certain, target string) {
	w.t.Helper()
	if certain == "" {
		certain = frontend
	}
	w.ask("203.0.113.254", target)
	w.ask("203.0.113.254", certain)
	if a := w.reply(""); a == nil || net.IP(a.SourceProtAddress).String() != certain {
		w.t.Errorf("%s is answered: %+v", target, a)
	}
}

// TestARPSides: each side answers for its own frontends only.
func TestARPSides(t *testing.T) {
	l := newLab(t)
	mute(t)
	table := l.open()
	table.Answer(Outside, frontends)
	table.Answer(Inside, []netip.Prefix{netip.MustParsePrefix("10.0.0.4/32")})
	l.wire(l.client, "cl0", unix.ETH_P_ARP).silent("10.0.0.4", frontend)
	l.wire(l.world, "wo0", unix.ETH_P_ARP).silent(frontend, "10.0.0.4")
}

func TestARPFollowsAddresses(t *testing.T) {
	l := newLab(t)
	mute(t)
	table := l.open()
	table.Answer(Outside, append(frontends, netip.MustParsePrefix("203.0.113.6/32")))
	w := l.wire(l.world, "wo0", unix.ETH_P_ARP)
	other := must(netlink.ParseAddr("203.0.113.6/32"))(t)
	ok(t, l.gateway.AddrAdd(l.gateway.link(t, "lo"), other))
	eventually(t, "carried", func() bool { return table.Snapshot().Carried(addr("203.0.113.6")) })
	w.silent("", "203.0.113.6")
	ok(t, l.gateway.AddrDel(l.gateway.link(t, "lo"), other))
	eventually(t, "not carried", func() bool { return !table.Snapshot().Carried(addr("203.0.113.6")) })
	w.ask("203.0.113.254", "203.0.113.6")
	if a := w.reply("203.0.113.6"); a == nil {
		t.Error("no answer after the host lost the address")
	}
	ok(t, l.gateway.LinkSetHardwareAddr(l.gateway.link(t, "out0"), net.HardwareAddr{2, 0, 0, 0, 0, 5}))
	eventually(t, "the new MAC", func() bool {
		w.ask("203.0.113.254", frontend)
		a := w.reply(frontend)
		return a != nil && mac(a.SourceHwAddress) == mac{2, 0, 0, 0, 0, 5}
	})
}

// TestPeerKernelLearns: the kernel of a neighbour finds the frontend by itself.
func TestPeerKernelLearns(t *testing.T) {
	l := newLab(t)
	table := l.open()
	table.Answer(Outside, frontends)
	l.speak(l.world, frontend)
	out0 := l.gateway.mac(t, "out0").String()
	eventually(t, "the neighbour's entry", func() bool {
		for _, n := range must(l.world.NeighList(l.world.link(t, "wo0").Attrs().Index, netlink.FAMILY_V4))(t) {
			if n.IP.String() == frontend {
				return n.HardwareAddr.String() == out0
			}
		}
		return false
	})
}

func TestAnnouncements(t *testing.T) {
	t.Parallel() // it waits for all three
	l := newLab(t)
	table := l.open()
	w := l.wire(l.world, "wo0", unix.ETH_P_ARP)
	began := time.Now()
	table.Answer(Outside, frontends)
	w.announced(l, frontend)
	w.announced(l, "203.0.113.64")
	w.announced(l, "203.0.113.67")
	for range announceTimes - 1 {
		w.announced(l, frontend)
	}
	if took := time.Since(began); took < (announceTimes-1)*announceEvery || took > announceTimes*announceEvery {
		t.Errorf("%d announcements in %v", announceTimes, took)
	}
	if a := w.next(frontend, announceEvery+announceEvery/4); a != nil {
		t.Errorf("one too many: %+v", a)
	}
	ok(t, l.world.LinkSetDown(l.world.link(t, "wo0")))
	eventually(t, "down", func() bool { return !table.Snapshot().Link(Outside).Up })
	ok(t, l.world.LinkSetUp(l.world.link(t, "wo0")))
	w.announced(l, frontend)
}

// announced waits for a gratuitous request (RFC 5227 §2.3) from the gateway.
func (w *wire) announced(l *lab, who string) {
	w.t.Helper()
	a := w.next(who, 2*announceEvery)
	if a == nil || a.Operation != arpRequest || net.IP(a.DstProtAddress).String() != who ||
		net.HardwareAddr(a.SourceHwAddress).String() != l.gateway.mac(w.t, "out0").String() || mac(a.DstHwAddress) != (mac{}) {
		w.t.Errorf("announcement of %s: %+v", who, a)
	}
}

func TestCarriedIsNotAnnounced(t *testing.T) {
	l := newLab(t)
	l.gateway.address(t, "out0", frontend+"/32")
	table := l.open()
	w := l.wire(l.world, "wo0", unix.ETH_P_ARP)
	table.Answer(Outside, frontends)
	for { // the frontends are announced in order, the carried one first
		a := w.next("", time.Second)
		if a == nil || net.IP(a.SourceProtAddress).String() == frontend {
			t.Fatalf("announced: %+v", a)
		}
		if net.IP(a.SourceProtAddress).String() == "203.0.113.64" {
			return
		}
	}
}

func TestConflictIsLogged(t *testing.T) {
	l := newLab(t)
	var log records
	table := l.open(log.use)
	table.Answer(Outside, frontends)
	w := l.wire(l.world, "wo0", unix.ETH_P_ARP)
	for range 5 {
		w.send(arp{op: arpReply, senderMAC: w.own, sender: addr(frontend), targetMAC: mac(l.gateway.mac(t, "out0")),
			target: addr("203.0.113.1"), destination: broadcast, source: w.own}.frame())
	}
	eventually(t, "the conflict in the log", func() bool {
		return log.count("ERROR", frontend, net.HardwareAddr(w.own[:]).String(), "side=outside") == 1
	})
	w.silent("", "203.0.113.99") // all of the above has been read
	if n := log.count(frontend); n != 1 {
		t.Errorf("%d records", n)
	}
}

// TestARPIgnoresOthers: a request in another VLAN, or to an interface on top of ours,
// is not ours to answer; a tag that only carries a priority makes no difference.
func TestARPIgnoresOthers(t *testing.T) {
	l := newLab(t)
	ok(t, l.gateway.LinkAdd(&netlink.Macvlan{Mode: netlink.MACVLAN_MODE_BRIDGE,
		LinkAttrs: netlink.LinkAttrs{Name: "top0", ParentIndex: l.gateway.link(t, "out0").Attrs().Index}}))
	ok(t, l.gateway.LinkSetUp(l.gateway.link(t, "top0")))
	table := l.open()
	table.Answer(Outside, frontends)
	w := l.wire(l.world, "wo0", unix.ETH_P_ARP)
	request := func(to mac, target string) []byte {
		return arp{op: arpRequest, senderMAC: w.own, sender: addr("203.0.113.254"), target: addr(target), destination: to, source: w.own}.frame()
	}
	w.send(tagged(request(broadcast, "203.0.113.65"), 5))
	w.send(request(mac(l.gateway.mac(t, "top0")), "203.0.113.66"))
	w.send(request(mac{2, 9, 9, 9, 9, 9}, "203.0.113.67"))
	w.send(tagged(request(broadcast, frontend), 0))
	if a := w.reply(""); a == nil || net.IP(a.SourceProtAddress).String() != frontend {
		t.Errorf("answered: %+v", a)
	}
}

// tagged puts an 802.1Q tag in.
func tagged(frame []byte, vlan uint16) []byte {
	tag := binary.BigEndian.AppendUint16([]byte{0x81, 0x00}, vlan)
	return append(append(append([]byte{}, frame[:12]...), tag...), frame[12:]...)
}

func FuzzParseARP(f *testing.F) {
	f.Add(announcement(mac{2}, 7).frame())
	f.Add(announcement(mac{2}, 7).reply(mac{3}).frame())
	f.Add([]byte{})
	f.Add([]byte("000000000000\b\x060\x01\b\x00x\x040000000000000000000000")) // an address of 120 bytes
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := parseARP(b)
		want, valid := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default).Layer(layers.LayerTypeARP).(*layers.ARP)
		valid = valid && len(b) >= arpLen && binary.BigEndian.Uint16(b[12:]) == etherTypeARP &&
			binary.BigEndian.Uint16(b[14:]) == arpEthernet && // gopacket keeps only its low byte
			want.Protocol == layers.EthernetTypeIPv4 && want.HwAddressSize == 6 && want.ProtAddressSize == 4
		if ok != valid {
			t.Fatalf("ok %v, gopacket says %v", ok, valid)
		}
		if ok && (a.op != want.Operation || a.sender != packet.AddrFrom(netip.AddrFrom4([4]byte(want.SourceProtAddress))) || a.targetMAC != mac(want.DstHwAddress)) {
			t.Fatalf("%+v, gopacket says %+v", a, want)
		}
		if ok && string(a.frame()) != string(b[:arpLen]) {
			t.Fatalf("%x became %x", b[:arpLen], a.frame())
		}
	})
}
