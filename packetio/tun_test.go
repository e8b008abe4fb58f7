package packetio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// openTun opens a TUN interface with an address in a namespace, until the test ends.
func openTun(t *testing.T, ns netns.NsHandle, o TUNOptions, address string) []*TUNQueue {
	t.Helper()
	return kernels[0].openTun(t, ns, o, address)
}

func (k kernel) openTun(t *testing.T, ns netns.NsHandle, o TUNOptions, address string) []*TUNQueue {
	t.Helper()
	queues := k.open(t, ns, o)
	within(t, ns, func() {
		l := must(netlink.LinkByName(queues[0].Name()))(t)
		check(t, netlink.AddrAdd(l, must(netlink.ParseAddr(address))(t)))
	})
	t.Cleanup(func() {
		for _, q := range queues {
			check(t, q.Close())
		}
	})
	return queues
}

// socket returns a socket of the namespace that sends to an address behind tide0.
func socket(t *testing.T, ns netns.NsHandle) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	within(t, ns, func() {
		c = must(net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(serverIP+":9"))))(t)
	})
	t.Cleanup(func() { c.Close() })
	return c
}

func disableIPv6(t *testing.T, ns netns.NsHandle) {
	t.Helper()
	within(t, ns, func() { check(t, writeProc("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")) })
}

// Several queues share the packets, and all of a flow come by one.
func TestTUNQueues(t *testing.T) {
	ns := namespace(t)
	disableIPv6(t, ns)
	queues := openTun(t, ns, TUNOptions{Name: "tide0", Queues: 3}, clientIP+"/24")
	if len(queues) != 3 {
		t.Fatalf("%d queues", len(queues))
	}
	const flows, rounds = 32, 8
	var total sync.WaitGroup
	total.Add(flows * rounds)
	seen := make([]map[uint16]int, len(queues)) // packets by source port
	var readers sync.WaitGroup
	for i, q := range queues {
		seen[i] = map[uint16]int{}
		readers.Go(func() {
			readAll(q, func(p []byte) {
				seen[i][binary.BigEndian.Uint16(p[q.Layout().Headroom()+20:])]++
				total.Done()
			})
		})
	}
	var ports []uint16
	for range flows {
		c := socket(t, ns)
		ports = append(ports, uint16(c.LocalAddr().(*net.UDPAddr).Port))
		for range rounds {
			must(c.Write([]byte("hello")))(t)
		}
	}
	total.Wait()
	for _, q := range queues {
		check(t, q.Close())
	}
	readers.Wait()
	expectTogether(t, seen, ports, rounds)
}

// readAll hands every frame to f until the queue is closed.
func readAll(q interface{ ReadBatch([][]byte) (int, error) }, f func([]byte)) {
	batch := make([][]byte, BatchSize)
	for {
		n, err := q.ReadBatch(batch)
		if err != nil {
			return
		}
		for _, frame := range batch[:n] {
			f(frame)
		}
	}
}

// expectTogether checks that each flow came by one queue, whole, and that more than
// one queue had some.
func expectTogether[flow comparable](t *testing.T, seen []map[flow]int, flows []flow, each int) {
	t.Helper()
	busy := 0
	for _, s := range seen {
		if len(s) > 0 {
			busy++
		}
	}
	if busy < 2 {
		t.Errorf("%d queues had something to do", busy)
	}
	for _, f := range flows {
		var by []int
		for _, s := range seen {
			if s[f] > 0 {
				by = append(by, s[f])
			}
		}
		if len(by) != 1 || by[0] != each {
			t.Errorf("flow %v: %v packets by queue, want %d by one", f, by, each)
		}
	}
}

// A packet comes out byte for byte, and one that is written arrives.
func TestTUNPacket(t *testing.T) {
	for _, k := range kernels {
		t.Run(k.name, func(t *testing.T) {
			ns := namespace(t)
			disableIPv6(t, ns)
			pingThrough(t, ns, k.openTun(t, ns, TUNOptions{Name: "tide0"}, clientIP+"/24")[0])
		})
	}
}

// pingThrough has a socket send a packet, which the queue reads, turns around and
// writes back.
func pingThrough(t *testing.T, ns netns.NsHandle, q *TUNQueue) {
	t.Helper()
	c := socket(t, ns)
	must(c.Write([]byte("ping")))(t)
	batch := make([][]byte, 2)
	if n := must(q.ReadBatch(batch))(t); n != 1 {
		t.Fatalf("%d packets", n)
	}
	f := batch[0]
	p := f[q.Layout().Headroom():]
	if len(p) != 32 || p[0] != 0x45 || !bytes.HasSuffix(p, []byte("ping")) {
		t.Fatalf("read % x", f)
	}
	// The answer: addresses and ports change places, which no checksum notices.
	for i := range 4 {
		p[12+i], p[16+i] = p[16+i], p[12+i]
	}
	p[20], p[21], p[22], p[23] = p[22], p[23], p[20], p[21]
	copy(p[28:], "ngpi") // so do the text's two words
	if n, err := q.WriteBatch([][]byte{f, {0x05}, f}); n != 2 || err != nil {
		t.Errorf("sent %d, %v", n, err)
	}
	if got := q.Stats().Refused; got != (Refused{Invalid: 1}) {
		t.Errorf("refused %+v", got)
	}
	answer := make([]byte, 10)
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n := must(c.Read(answer))(t); string(answer[:n]) != "ngpi" {
		t.Errorf("answer %q", answer[:n])
	}
}

func TestTUNAllocatesNothing(t *testing.T) {
	ns := namespace(t)
	disableIPv6(t, ns)
	q := openTun(t, ns, TUNOptions{Name: "tide0"}, clientIP+"/24")[0]
	c := socket(t, ns)
	raw := must(c.SyscallConn())(t)
	var fd int
	check(t, raw.Control(func(f uintptr) { fd = int(f) }))
	batch := make([][]byte, BatchSize)
	message := []byte("hello")
	if allocs := testing.AllocsPerRun(100, func() {
		if _, err := unix.Write(fd, message); err != nil {
			t.Fatal(err)
		}
		n, err := q.ReadBatch(batch)
		if err == nil {
			_, err = q.WriteBatch(batch[:n])
		}
		if err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations per packet", allocs)
	}
	runtime.KeepAlive(c)
}

func TestTUNCloseEndsReadBatch(t *testing.T) {
	ns := namespace(t)
	q := openTun(t, ns, TUNOptions{Name: "tide0"}, clientIP+"/24")[0]
	closed := make(chan error)
	time.AfterFunc(20*time.Millisecond, func() { closed <- q.Close() })
	batch := make([][]byte, 1)
	for {
		_, err := q.ReadBatch(batch)
		if errors.Is(err, net.ErrClosed) {
			break
		}
		check(t, err)
	}
	check(t, <-closed)
	if _, err := q.WriteBatch([][]byte{{0x45}}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("WriteBatch after Close returned %v", err)
	}
	within(t, ns, func() {
		if _, err := netlink.LinkByName("tide0"); err == nil {
			t.Error("the interface is still there")
		}
	})
}

// Down and up again costs only the packets of that time; removal ends the queue.
func TestTUNLinkFlapAndRemoval(t *testing.T) {
	ns := namespace(t)
	disableIPv6(t, ns)
	q := openTun(t, ns, TUNOptions{Name: "tide0"}, clientIP+"/24")[0]
	c := socket(t, ns)
	set := func(change func(netlink.Link) error) {
		within(t, ns, func() { check(t, change(must(netlink.LinkByName("tide0"))(t))) })
	}
	batch := make([][]byte, BatchSize)
	frame := append(make([]byte, q.Layout().Headroom()), 0x45)
	set(netlink.LinkSetDown)
	if n, err := q.WriteBatch([][]byte{frame}); n != 0 || err != nil || q.Stats().Refused.Down != 1 {
		t.Errorf("WriteBatch to an interface that is down sent %d, %v, %+v", n, err, q.Stats())
	}
	time.AfterFunc(20*time.Millisecond, func() {
		set(netlink.LinkSetUp)
		must(c.Write([]byte("hello")))(t)
	})
	if n := must(q.ReadBatch(batch))(t); n != 1 {
		t.Errorf("%d packets", n)
	}
	time.AfterFunc(20*time.Millisecond, func() { set(netlink.LinkDel) })
	if _, err := q.ReadBatch(batch); !errors.Is(err, ErrNoInterface) {
		t.Errorf("ReadBatch returned %v", err)
	}
	if _, err := q.WriteBatch([][]byte{frame}); !errors.Is(err, ErrNoInterface) {
		t.Errorf("WriteBatch returned %v", err)
	}
}

func TestOpenTUNErrors(t *testing.T) {
	ns := namespace(t)
	expect := func(name string, words ...string) {
		t.Helper()
		queues, err := OpenTUN(TUNOptions{Name: name})
		for _, q := range queues {
			q.Close()
		}
		for _, w := range append(words, "packetio: open tun "+name+": ") {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("open %s: %v does not say %q", name, err, w)
			}
		}
	}
	within(t, ns, func() {
		taken := must(OpenTUN(TUNOptions{Name: "tide0"}))(t)
		defer taken[0].Close()
		expect("tide0", "busy", "another process", "gateway.tun.name")
		tap := must(water.New(tapConfig("tap0")))(t)
		defer tap.Close()
		expect("tap0", "invalid argument", "another kind")
	})
	without(t, func() { expect("tide0", "CAP_NET_ADMIN") })
	withoutDevice(t, func() { expect("tide0", "no such file", "modprobe tun", "/dev/net/tun") })
}

func tapConfig(name string) water.Config {
	c := water.Config{DeviceType: water.TAP}
	c.Name = name
	return c
}

// withoutDevice runs f on a thread of its own that sees an empty /dev/net.
func withoutDevice(t *testing.T, f func()) {
	t.Helper()
	onThread(t, func() error { // whose mounts they are
		err := errors.Join(
			unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS),
			unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("none", "/dev/net", "tmpfs", 0, ""))
		if err != nil {
			return fmt.Errorf("empty /dev/net: %w", err)
		}
		f()
		return nil
	})
}

// An interface that the operator made, with routes on it perhaps, is there after us.
func TestOperatorsTUNStays(t *testing.T) {
	within(t, namespace(t), func() {
		check(t, netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tide0"}, Mode: netlink.TUNTAP_MODE_TUN}))
		for range 2 {
			q := must(OpenTUN(TUNOptions{Name: "tide0"}))(t)[0]
			check(t, q.Close())
			must(netlink.LinkByName("tide0"))(t)
		}
	})
}
