package packetio

import (
	"bytes"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestCloseEndsReadBatch(t *testing.T) {
	l := newLab(t, 1500)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	ended := make(chan error)
	go func() {
		_, err := in.ReadBatch(make([][]byte, 1))
		ended <- err
	}()
	time.Sleep(20 * time.Millisecond) // time to park in; either way the outcome is the same
	check(t, in.Close())
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadBatch returned %v, want net.ErrClosed", err)
	}
	if _, err := in.ReadBatch(make([][]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadBatch after Close returned %v", err)
	}
	if _, err := in.WriteBatch([][]byte{{1}}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("WriteBatch after Close returned %v", err)
	}
	check(t, in.Close())
	in.Stats()
}

// Who is at work on a batch when the queue is closed can finish it.
func TestBatchSurvivesClose(t *testing.T) {
	l := newLab(t, 9000)
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	for _, length := range []int{60, 9000} {
		in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
		want := udp(l.c0.mac, l.in0.mac, length, 1, 42)
		write(t, out, want)
		batch := make([][]byte, BatchSize)
		must(in.ReadBatch(batch))(t)
		check(t, in.Close())
		if !bytes.Equal(batch[0], want) {
			t.Errorf("a frame of %d bytes is no longer what it was", length)
		}
		batch[0][0]++
		if _, err := in.ReadBatch(batch); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadBatch after Close returned %v", err)
		}
	}
}

// Close leaves no socket behind: one that stays in a fan-out group would go on
// taking its share. It goes at once if nobody has frames of its ring, or else when
// they are given back.
func TestCloseFreesSocket(t *testing.T) {
	l := newLab(t, 1500)
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	expectSockets := func(want int) {
		t.Helper()
		within(t, l.middle, func() {
			b := must(os.ReadFile("/proc/thread-self/net/packet"))(t)
			if n := strings.Count(string(b), "\n") - 1; n != want {
				t.Errorf("%d packet sockets, want %d", n, want)
			}
		})
	}
	files := func() int { return len(must(os.ReadDir("/proc/self/fd"))(t)) }
	before := files()
	for _, reading := range []bool{false, true, false, true} {
		in := l.open(l.middle, PacketOptions{Interface: l.in0.name, Fanout: 7})
		if reading {
			write(t, out, udp(l.c0.mac, l.in0.mac, 60, 1, 0))
			readFrames(t, in, 1)
		}
		expectSockets(1)
		check(t, in.Close())
		if reading {
			expectSockets(1)
			if _, err := in.ReadBatch(make([][]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("ReadBatch after Close returned %v", err)
			}
		}
		expectSockets(0)
	}
	if after := files(); after > before {
		t.Errorf("%d files open, %d before", after, before)
	}
}

// Frames small and large come again after the link was down, and those written
// meanwhile are counted.
func TestLinkFlap(t *testing.T) {
	l := newLab(t, 9000)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	back := l.open(l.middle, PacketOptions{Interface: l.in0.name, TxOnly: true})
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	lengths := []int{60, 9000, 60, 9000}
	for flap, length := range lengths {
		frame := udp(l.c0.mac, l.in0.mac, length, 1, uint64(flap))
		l.setLink(l.in0, netlink.LinkSetDown)
		if n, err := back.WriteBatch([][]byte{frame, frame}); n != 0 || err != nil {
			t.Errorf("WriteBatch to a link that is down sent %d, %v", n, err)
		}
		var revival sync.WaitGroup
		revival.Go(func() {
			time.Sleep(20 * time.Millisecond) // the reader waits by now
			l.setLink(l.in0, netlink.LinkSetUp)
			for range 50 { // the first may come before the carrier is noticed
				out.WriteBatch([][]byte{frame})
				time.Sleep(time.Millisecond)
			}
		})
		if got := readFrames(t, in, 1); tagOf(got[0]) != uint64(flap) {
			t.Errorf("read frame %d, want %d", tagOf(got[0]), flap)
		}
		revival.Wait()
		write(t, out, frame)
		readFrames(t, in, 1) // and all that are left
	}
	if got, want := back.Stats().Refused, (Refused{Down: 2 * uint64(len(lengths))}); got != want {
		t.Errorf("refused %+v, want %+v", got, want)
	}
}

// What came before the link went down is still read.
func TestLinkDownKeepsFrames(t *testing.T) {
	l := newLab(t, 9000)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	for tag, length := range []int{9000, 60, 9000} {
		write(t, out, udp(l.c0.mac, l.in0.mac, length, 1, uint64(tag)))
	}
	l.setLink(l.in0, netlink.LinkSetDown)
	for tag, f := range readFrames(t, in, 3) {
		if tagOf(f) != uint64(tag) {
			t.Errorf("frame %d is number %d", tag, tagOf(f))
		}
	}
}

func TestInterfaceRemoved(t *testing.T) {
	l := newLab(t, 1500)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	back := l.open(l.middle, PacketOptions{Interface: l.in0.name, TxOnly: true})
	time.AfterFunc(20*time.Millisecond, func() { l.setLink(l.in0, netlink.LinkDel) })
	_, err := in.ReadBatch(make([][]byte, 1))
	if !errors.Is(err, ErrNoInterface) || !strings.Contains(err.Error(), "packetio: read in0: ") {
		t.Errorf("ReadBatch returned %v", err)
	}
	_, err = back.WriteBatch([][]byte{udp(l.in0.mac, l.c0.mac, 60, 1, 0)})
	if !errors.Is(err, ErrNoInterface) || !strings.Contains(err.Error(), "packetio: write in0: ") {
		t.Errorf("WriteBatch returned %v", err)
	}
}

func TestOpenPacketErrors(t *testing.T) {
	l := newLab(t, 1500)
	expect := func(o PacketOptions, cause error, words ...string) {
		t.Helper()
		q, err := OpenPacket(o)
		if err == nil {
			q.Close()
			t.Errorf("open %s: no error", o.Interface)
			return
		}
		for _, w := range append(words, "packetio: open "+o.Interface+": ") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("open %s: %q does not say %q", o.Interface, err, w)
			}
		}
		if cause != nil && !errors.Is(err, cause) {
			t.Errorf("open %s: %q is not %v", o.Interface, err, cause)
		}
	}
	within(t, l.middle, func() {
		expect(PacketOptions{Interface: "eth7"}, ErrNoInterface, "no such interface; ", "gateway.inside.interface", "lo, ", "in0")
		check(t, netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun9", Flags: net.FlagUp}, Mode: netlink.TUNTAP_MODE_TUN}))
		check(t, netlink.LinkSetUp(must(netlink.LinkByName("tun9"))(t)))
		expect(PacketOptions{Interface: "tun9"}, nil, "not an Ethernet interface")
		check(t, netlink.LinkSetDown(must(netlink.LinkByName(l.in0.name))(t)))
		expect(PacketOptions{Interface: l.in0.name}, ErrLinkDown, "is down; run: ip link set in0 up")
	})
	without(t, func() { expect(PacketOptions{Interface: "lo"}, unix.EPERM, "CAP_NET_RAW") })
}

// A link that is down wakes its reader once, not for as long as it is down.
func TestReaderSleepsWhileLinkIsDown(t *testing.T) {
	l := newLab(t, 1500)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	looks := 0
	collect := in.rx.collector
	in.rx.collector = func(fd uintptr) bool {
		looks++
		return collect(fd)
	}
	time.AfterFunc(20*time.Millisecond, func() { l.setLink(l.in0, netlink.LinkSetDown) })
	time.AfterFunc(200*time.Millisecond, func() { in.Close() })
	if _, err := in.ReadBatch(make([][]byte, 1)); err == nil {
		t.Error("ReadBatch returned a frame")
	}
	if looks > 5 {
		t.Errorf("the reader looked %d times", looks)
	}
}
