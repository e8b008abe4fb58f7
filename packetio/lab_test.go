package packetio

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// lab is a gateway's place between two hosts, each a network namespace of the
// test's own. The middle has no addresses and forwards nothing by itself.
//
//	client 10.99.0.1 ─ c0 ═ in0 ─ middle ─ out0 ═ s0 ─ 10.99.0.2 server
//
// The hosts think they share a link: each has the MAC address of the middle's
// near interface for the other.
type lab struct {
	t                      *testing.T
	client, middle, server netns.NsHandle
	in0, out0              link
	c0, s0                 link
}

type link struct {
	name string
	mac  net.HardwareAddr
}

const (
	clientIP = "10.99.0.1"
	serverIP = "10.99.0.2"
)

func newLab(t *testing.T, mtu int) *lab {
	t.Helper()
	l := &lab{t: t, client: namespace(t), middle: namespace(t), server: namespace(t)}
	l.c0, l.in0 = l.pair(l.client, "c0", "in0", mtu)
	l.s0, l.out0 = l.pair(l.server, "s0", "out0", mtu)
	l.address(l.client, l.c0, clientIP, serverIP, l.in0.mac)
	l.address(l.server, l.s0, serverIP, clientIP, l.out0.mac)
	return l
}

// namespace makes a network namespace without a name, which goes with the test's
// process at the latest.
func namespace(t *testing.T) (ns netns.NsHandle) {
	t.Helper()
	keepNamespace(t, func() (err error) {
		ns, err = netns.New()
		return err
	})
	t.Cleanup(func() { check(t, ns.Close()) })
	within(t, ns, func() { check(t, netlink.LinkSetUp(must(netlink.LinkByName("lo"))(t))) })
	return ns
}

// within runs f on a thread in that namespace.
func within(t *testing.T, ns netns.NsHandle, f func()) {
	t.Helper()
	keepNamespace(t, func() error {
		if err := netns.Set(ns); err != nil {
			return err
		}
		f()
		return nil
	})
}

// keepNamespace puts the thread back into its namespace after f.
func keepNamespace(t *testing.T, f func() error) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	check(t, err)
	defer home.Close()
	defer netns.Set(home)
	check(t, f())
}

// pair makes a veth pair between a host and the middle, both ends up.
func (l *lab) pair(host netns.NsHandle, far, near string, mtu int) (farLink, nearLink link) {
	l.t.Helper()
	within(l.t, l.middle, func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = near, mtu
		check(l.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: far, PeerNamespace: netlink.NsFd(host)}))
		nearLink = up(l.t, near)
	})
	within(l.t, host, func() { farLink = up(l.t, far) })
	return farLink, nearLink
}

func up(t *testing.T, name string) link {
	t.Helper()
	// No IPv6, whose router solicitations would come between the test's frames.
	check(t, writeProc("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", "1"))
	l := must(netlink.LinkByName(name))(t)
	check(t, netlink.LinkSetUp(l))
	return link{name, l.Attrs().HardwareAddr}
}

func (l *lab) address(host netns.NsHandle, on link, own, other string, via net.HardwareAddr) {
	l.t.Helper()
	within(l.t, host, func() {
		dev := must(netlink.LinkByName(on.name))(l.t)
		check(l.t, netlink.AddrAdd(dev, must(netlink.ParseAddr(own+"/24"))(l.t)))
		check(l.t, netlink.NeighSet(&netlink.Neigh{
			LinkIndex: dev.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(other), HardwareAddr: via,
		}))
	})
}

// open opens a queue in a namespace until the test ends.
func (l *lab) open(ns netns.NsHandle, o PacketOptions) *PacketQueue {
	l.t.Helper()
	var q *PacketQueue
	within(l.t, ns, func() { q = must(OpenPacket(o))(l.t) })
	l.t.Cleanup(func() { check(l.t, q.Close()) })
	return q
}

// setLink changes an interface of the middle.
func (l *lab) setLink(on link, change func(netlink.Link) error) {
	l.t.Helper()
	within(l.t, l.middle, func() { check(l.t, change(must(netlink.LinkByName(on.name))(l.t))) })
}

// without runs f on a thread of its own that has lost all capabilities.
func without(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		err := unix.Capset(&header, &none[0])
		if err == nil {
			f()
		}
		done <- err
	}()
	check(t, <-done)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must returns what a call returned, for must(call())(t).
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// udp makes a frame with an IPv4 UDP packet as an AF_PACKET queue takes it: length
// bytes from the Ethernet header on, the last eight of which are tag.
func udp(src, dst net.HardwareAddr, length int, port uint16, tag uint64) []byte {
	if length < 14+20+8+8 {
		panic(fmt.Sprintf("a frame of %d bytes is too short", length))
	}
	f := make([]byte, vnetLen+length)
	e := f[vnetLen:]
	copy(e, dst)
	copy(e[6:], src)
	copy(e[12:], []byte{0x08, 0x00})
	ip := e[14:]
	copy(ip, []byte{0x45, 0, byte((length - 14) >> 8), byte(length - 14), 0, 0, 0, 0, 64, 17})
	copy(ip[12:], net.ParseIP(clientIP).To4())
	copy(ip[16:], net.ParseIP(serverIP).To4())
	put16(ip[10:], ^sum(ip[:20]))
	u := ip[20:]
	put16(u, port)
	put16(u[2:], 9)
	put16(u[4:], uint16(length-34))
	for i := range 8 {
		e[length-8+i] = byte(tag >> (56 - 8*i))
	}
	return f
}

func tagOf(frame []byte) (tag uint64) {
	for _, b := range frame[len(frame)-8:] {
		tag = tag<<8 | uint64(b)
	}
	return tag
}

func put16(b []byte, v uint16) { b[0], b[1] = byte(v>>8), byte(v) }

func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}

// raiseGSO lets an interface take super-packets of that many bytes.
func raiseGSO(name string, bytes int) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return errors.Join(netlink.LinkSetGSOMaxSize(l, bytes), netlink.LinkSetGSOIPv4MaxSize(l, bytes))
}

func writeProc(path, value string) error { return os.WriteFile(path, []byte(value), 0) }

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
