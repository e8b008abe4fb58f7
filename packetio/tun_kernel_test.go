package packetio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// kernel is one that refuses some of TUN's offloads, for which a seccomp filter
// makes this one pass.
type kernel struct {
	name     string
	refuses  uint32 // bits of TUNSETOFFLOAD
	tcp, udp bool   // super-packets that come nevertheless
}

var kernels = []kernel{
	{name: "6.2 or later", tcp: true, udp: true},
	{name: "before 6.2", refuses: unix.TUN_F_USO4, tcp: true},
	{name: "without offloads", refuses: unix.TUN_F_CSUM},
}

func (k kernel) layout() Layout {
	if !k.tcp {
		return Layout{}
	}
	return Layout{Vnet: 10}
}

// open opens queues in a namespace, which the test closes.
func (k kernel) open(t *testing.T, ns netns.NsHandle, o TUNOptions) (queues []*TUNQueue) {
	t.Helper()
	onThread(t, func() error {
		err := netns.Set(ns)
		if err == nil && k.refuses != 0 {
			err = refuseOffloads(k.refuses)
		}
		if err == nil {
			queues, err = OpenTUN(o)
		}
		return err
	})
	return queues
}

// onThread runs f on a thread of its own, which nobody gets afterwards.
func onThread(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		done <- f()
	}()
	check(t, <-done)
}

// refuseOffloads has TUNSETOFFLOAD fail for good on the calling thread, as it does on a
// kernel that doesn't know one of these bits.
func refuseOffloads(bits uint32) error {
	low := uint32(4) // where the lower half of an argument begins
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		low = 0
	}
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // struct seccomp_data: the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_IOCTL, Jf: 5},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 24 + low}, // second argument
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.TUNSETOFFLOAD, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 32 + low}, // third
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: bits, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EINVAL)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0)
}

// Each of several queues is as the first; a kernel that refuses something is
// quoted, and nothing is left open.
func TestOpenTUNOnEachKernel(t *testing.T) {
	for _, k := range kernels {
		t.Run(k.name, func(t *testing.T) {
			ns := namespace(t)
			files := func() int { return len(must(os.ReadDir("/proc/self/fd"))(t)) }
			before := files()
			queues := k.open(t, ns, TUNOptions{Name: "tide%d", Queues: 3})
			if opened := files() - before; len(queues) != 3 || opened != 3 {
				t.Errorf("%d queues with %d files", len(queues), opened)
			}
			for _, q := range queues {
				if q.Name() != "tide0" || q.MTU() != 1500 || q.Layout() != k.layout() {
					t.Errorf("interface %q, MTU %d, layout %v", q.Name(), q.MTU(), q.Layout())
				}
				if err := q.Plain(); (err == nil) != k.tcp || err != nil && !strings.Contains(err.Error(), "TUNSETOFFLOAD: invalid argument") {
					t.Errorf("plain because of %v", err)
				}
				check(t, q.Close())
			}
			if left := files() - before; left != 0 {
				t.Errorf("%d files are left", left)
			}
			within(t, ns, func() {
				if _, err := netlink.LinkByName("tide0"); err == nil {
					t.Error("the interface is still there")
				}
			})
		})
	}
}

// A failure of another kind is no reason to try again without offloads.
func TestOpenTUNFailsOnce(t *testing.T) {
	within(t, namespace(t), func() {
		taken := must(OpenTUN(TUNOptions{Name: "tide0"}))(t)
		defer taken[0].Close()
		before := len(must(os.ReadDir("/proc/self/fd"))(t))
		for range 3 {
			if _, err := OpenTUN(TUNOptions{Name: "tide0"}); !errors.Is(err, unix.EBUSY) {
				t.Errorf("opened again: %v", err)
			}
		}
		if after := len(must(os.ReadDir("/proc/self/fd"))(t)); after != before {
			t.Errorf("%d files, %d before", after, before)
		}
	})
}

// Whoever opens the operator's interface after us, and asks for nothing, gets
// packets as they go on the wire.
func TestPersistentTUNForgetsOffloads(t *testing.T) {
	ns := namespace(t)
	disableIPv6(t, ns)
	within(t, ns, func() {
		check(t, netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tide0"}, Mode: netlink.TUNTAP_MODE_TUN}))
	})
	q := openTun(t, ns, TUNOptions{Name: "tide0"}, clientIP+"/24")[0]
	check(t, q.Close())
	var next *water.Interface
	within(t, ns, func() {
		c := water.Config{DeviceType: water.TUN}
		c.Name = "tide0"
		next = must(water.New(c))(t)
	})
	defer next.Close()
	const size, count = 1000, 4
	sendSegments(t, socket(t, ns), bytes.Repeat([]byte{7}, size*count), size)
	for range count {
		b := make([]byte, 65536)
		if n := must(next.Read(b))(t); n != 28+size {
			t.Fatalf("read %d bytes, want %d", n, 28+size)
		}
	}
}

// A container that may do nothing but set up networks can open the device and use it.
func TestTUNWithOneCapability(t *testing.T) {
	ns := namespace(t)
	disableIPv6(t, ns)
	var q *TUNQueue
	onThread(t, func() error {
		err := errors.Join(netns.Set(ns), keepCapability(unix.CAP_NET_ADMIN))
		if err == nil {
			var queues []*TUNQueue
			if queues, err = OpenTUN(TUNOptions{Name: "tide0"}); err == nil {
				q = queues[0]
			}
		}
		return err
	})
	defer q.Close()
	if err := q.Plain(); err != nil {
		t.Error(err)
	}
	within(t, ns, func() {
		check(t, netlink.AddrAdd(must(netlink.LinkByName("tide0"))(t), must(netlink.ParseAddr(clientIP+"/24"))(t)))
	})
	pingThrough(t, ns, q)
}

// keepCapability takes all capabilities but one from the calling thread.
func keepCapability(capability int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var keep [2]unix.CapUserData
	keep[0].Effective, keep[0].Permitted = 1<<capability, 1<<capability
	return unix.Capset(&header, &keep[0])
}
