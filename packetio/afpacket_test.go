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

// readFrames reads until want frames have come and returns copies of them.
func readFrames(t *testing.T, q *PacketQueue, want int) (got [][]byte) {
	t.Helper()
	late := time.AfterFunc(10*time.Second, func() { q.Close() })
	defer late.Stop()
	batch := make([][]byte, BatchSize)
	for len(got) < want {
		n, err := q.ReadBatch(batch)
		if err != nil {
			t.Fatalf("%v, after %d of %d frames", err, len(got), want)
		}
		for _, f := range batch[:n] {
			got = append(got, bytes.Clone(f))
		}
	}
	return got
}

// write writes frames, all of which the kernel must take.
func write(t *testing.T, q *PacketQueue, frames ...[]byte) {
	t.Helper()
	n, err := q.WriteBatch(frames)
	if err != nil || n != len(frames) {
		t.Fatalf("WriteBatch sent %d of %d frames, %v; %+v", n, len(frames), err, q.Stats().Refused)
	}
}

// Frames short and long come out as they went in, in order, through more than one
// turn of the ring.
func TestReadBatchKeepsOrder(t *testing.T) {
	l := newLab(t, 9000)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	lengths := []int{60, 1514, 1906, 1907, 1908, 1909, 60, 9014, 61, 64, 9013, 2000}
	var next uint64
	for range 2 * ringFrames / BatchSize {
		var batch [][]byte
		for i := range BatchSize {
			length := lengths[(i+int(next))%len(lengths)]
			batch = append(batch, udp(l.c0.mac, l.in0.mac, length, 1, next+uint64(i)))
		}
		write(t, out, batch...)
		for i, f := range readFrames(t, in, BatchSize) {
			if !bytes.Equal(f, batch[i]) {
				t.Fatalf("frame %d: %d bytes, tag %d; want %d bytes, tag %d", i, len(f), tagOf(f), len(batch[i]), next+uint64(i))
			}
		}
		next += BatchSize
	}
	if s := in.Stats(); s != (Stats{}) {
		t.Errorf("lost %+v", s)
	}
}

// The IP header is aligned, and a frame's slice ends where the frame does.
func TestFramesAreAligned(t *testing.T) {
	l := newLab(t, 9000)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	write(t, out, udp(l.c0.mac, l.in0.mac, 60, 1, 0), udp(l.c0.mac, l.in0.mac, 9000, 1, 1))
	batch := make([][]byte, 2)
	for seen := 0; seen < 2; {
		n := must(in.ReadBatch(batch))(t)
		seen += n
		for _, f := range batch[:n] {
			if at := addressOf(f) + uintptr(in.Layout().Headroom()); at%4 != 0 || f[in.Layout().Headroom()] != 0x45 {
				t.Errorf("the IP header of a %d-byte frame is at %#x", len(f), at)
			}
		}
	}
}

func TestFilter(t *testing.T) {
	l := newLab(t, 1500)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	self := l.open(l.middle, PacketOptions{Interface: l.in0.name, TxOnly: true})
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	frame := func(tag uint64, change func(ether []byte) []byte) []byte {
		f := udp(l.c0.mac, l.in0.mac, 80, 1, tag)
		return append(f[:vnetLen:vnetLen], change(f[vnetLen:])...)
	}
	vlan := func(tci byte) func([]byte) []byte {
		return func(e []byte) []byte {
			return append(append(bytes.Clone(e[:12]), 0x81, 0, tci&0xf0, tci&0x0f), e[12:]...)
		}
	}
	const untagged, priority, end = 1, 2, 3
	l.setLink(l.in0, netlink.SetPromiscOn)
	write(t, self, udp(l.in0.mac, l.in0.mac, 80, 1, 100)) // own frame, outgoing
	write(t, out,
		frame(untagged, func(e []byte) []byte { return e }),
		frame(101, vlan(0x07)),
		frame(102, vlan(0xe7)),
		frame(priority, vlan(0xe0)),
		frame(103, func(e []byte) []byte { copy(e, "\xff\xff\xff\xff\xff\xff"); return e }), // broadcast
		frame(104, func(e []byte) []byte { e[0], e[5] = 0x02, e[5]+1; return e }),           // another host's
		frame(105, func(e []byte) []byte { copy(e[12:], "\x86\xdd"); return e }),            // IPv6
		frame(106, func(e []byte) []byte { copy(e[12:], "\x08\x06"); return e }),            // ARP
		frame(end, func(e []byte) []byte { return e }),
	)
	var tags []uint64
	for len(tags) == 0 || tags[len(tags)-1] != end {
		for _, f := range readFrames(t, in, 1) {
			tags = append(tags, tagOf(f))
		}
	}
	if len(tags) != 3 || tags[0] != untagged || tags[1] != priority {
		t.Errorf("accepted %v, want %v", tags, []int{untagged, priority, end})
	}
}

// A batch goes on after a frame that the kernel does not want.
func TestWriteBatchSkipsRefused(t *testing.T) {
	l := newLab(t, 1500)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	var batch [][]byte
	for i := range 3 * BatchSize {
		f := udp(l.c0.mac, l.in0.mac, 60, 1, uint64(i))
		switch i % 8 {
		case 3:
			f = udp(l.c0.mac, l.in0.mac, 1515, 1, uint64(i))
		case 5:
			f[0], f[6] = 1, 200 // a checksum to be completed outside the packet
		case 7:
			f = f[:i%11] // not even a header
		}
		batch = append(batch, f)
	}
	const each = 3 * BatchSize / 8
	n, err := out.WriteBatch(batch)
	if want := 5 * each; n != want || err != nil {
		t.Errorf("sent %d, %v; want %d", n, err, want)
	}
	if got, want := out.Stats().Refused, (Refused{TooLong: each, Invalid: 2 * each}); got != want {
		t.Errorf("refused %+v, want %+v", got, want)
	}
	for _, f := range readFrames(t, in, 5*each) {
		if tag := tagOf(f) % 8; tag == 3 || tag == 5 || tag == 7 {
			t.Errorf("a frame of kind %d came through", tag)
		}
	}
}

// What a full ring loses is counted once, whoever asks how often.
func TestDropsAddUp(t *testing.T) {
	l := newLab(t, 1500)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	batch := make([][]byte, BatchSize)
	for i := range batch {
		batch[i] = udp(l.c0.mac, l.in0.mac, 60, 1, 0)
	}
	const beyond = 5
	for range ringFrames/BatchSize + beyond {
		write(t, out, batch...)
		time.Sleep(50 * time.Microsecond) // the veth's own queue is 1,000 frames
	}
	deadline := time.Now().Add(5 * time.Second)
	for in.Stats().Dropped < beyond*BatchSize && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if got := in.Stats().Dropped; got != beyond*BatchSize {
		t.Errorf("dropped %d, want %d", got, beyond*BatchSize)
	}
	readFrames(t, in, ringFrames)
	write(t, out, batch...)
	readFrames(t, in, BatchSize)
}

func TestForwardingAllocatesNothing(t *testing.T) {
	l := newLab(t, 9000)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	frames := [][]byte{
		udp(l.c0.mac, l.in0.mac, 60, 1, 0), udp(l.c0.mac, l.in0.mac, 9000, 1, 0), udp(l.c0.mac, l.in0.mac, 9015, 1, 0),
	}
	batch := make([][]byte, BatchSize)
	allocs := testing.AllocsPerRun(200, func() {
		if _, err := out.WriteBatch(frames); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < 2; {
			n, err := in.ReadBatch(batch)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations per round", allocs)
	}
}

// A reader that waits parks without allocating too.
func TestWaitingAllocatesNothing(t *testing.T) {
	l := newLab(t, 1500)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	if allocs := testing.AllocsPerRun(20, func() {
		if _, err := in.wait(time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations per wait", allocs)
	}
}

func TestCloseEndsReadBatch(t *testing.T) {
	l := newLab(t, 1500)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	write(t, out, udp(l.c0.mac, l.in0.mac, 60, 1, 42))
	batch := make([][]byte, BatchSize)
	must(in.ReadBatch(batch))(t)
	last := batch[0]

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
	last[0]++ // whoever is still at work on a frame must not crash
	if _, err := in.ReadBatch(batch); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ReadBatch after Close returned %v", err)
	}
	if _, err := in.WriteBatch([][]byte{last}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("WriteBatch after Close returned %v", err)
	}
	check(t, in.Close())
	in.Stats()
}

// Close leaves no socket behind: one that stays in a fan-out group would go on
// taking its share.
func TestCloseFreesSocket(t *testing.T) {
	l := newLab(t, 1500)
	sockets := func() (n int) {
		within(t, l.middle, func() {
			b := must(os.ReadFile("/proc/thread-self/net/packet"))(t)
			n = strings.Count(string(b), "\n") - 1
		})
		return n
	}
	files := func() int { return len(must(os.ReadDir("/proc/self/fd"))(t)) }
	before := files()
	for range 3 {
		in := l.open(l.middle, PacketOptions{Interface: l.in0.name, Fanout: 7})
		if n := sockets(); n != 1 {
			t.Fatalf("%d packet sockets while one queue is open", n)
		}
		check(t, in.Close())
		if n := sockets(); n != 0 {
			t.Fatalf("%d packet sockets after Close", n)
		}
	}
	if after := files(); after > before {
		t.Errorf("%d files open, %d before", after, before)
	}
}

func TestLinkFlap(t *testing.T) {
	l := newLab(t, 1500)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	back := l.open(l.middle, PacketOptions{Interface: l.in0.name, TxOnly: true})
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	frame := func(tag uint64) []byte { return udp(l.c0.mac, l.in0.mac, 60, 1, tag) }
	write(t, out, frame(1))
	readFrames(t, in, 1)
	for flap := range uint64(3) {
		l.setLink(l.in0, netlink.LinkSetDown)
		if n, err := back.WriteBatch([][]byte{frame(0), frame(0)}); n != 0 || err != nil {
			t.Errorf("WriteBatch to a link that is down sent %d, %v", n, err)
		}
		var revival sync.WaitGroup
		revival.Go(func() {
			time.Sleep(20 * time.Millisecond) // the reader waits by now
			l.setLink(l.in0, netlink.LinkSetUp)
			for range 50 { // the first may come before the carrier is noticed
				out.WriteBatch([][]byte{frame(flap)})
				time.Sleep(time.Millisecond)
			}
		})
		if got := readFrames(t, in, 1); tagOf(got[0]) != flap {
			t.Errorf("read frame %d, want %d", tagOf(got[0]), flap)
		}
		revival.Wait()
		readFrames(t, in, 1)
	}
	if got := in.Stats().LinkDowns; got != 3 {
		t.Errorf("the link went down %d times, want 3", got)
	}
	if got := back.Stats().Refused; got != (Refused{Down: 6}) {
		t.Errorf("refused %+v, want 6 for the link", got)
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

func TestFanoutKeepsFlowsTogether(t *testing.T) {
	l := newLab(t, 1500)
	group := []*PacketQueue{
		l.open(l.middle, PacketOptions{Interface: l.in0.name, Fanout: 11}),
		l.open(l.middle, PacketOptions{Interface: l.in0.name, Fanout: 11}),
	}
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	const flows, rounds = 64, 10
	for range rounds {
		var batch [][]byte
		for flow := range uint64(flows) {
			batch = append(batch, udp(l.c0.mac, l.in0.mac, 60, 1000+uint16(flow), flow))
		}
		write(t, out, batch...)
	}
	time.AfterFunc(500*time.Millisecond, func() { group[0].Close(); group[1].Close() })
	var seen [2]map[uint64]int
	for i, q := range group {
		seen[i] = map[uint64]int{}
		batch := make([][]byte, BatchSize)
		for {
			n, err := q.ReadBatch(batch)
			if err != nil {
				break
			}
			for _, f := range batch[:n] {
				seen[i][tagOf(f)]++
			}
		}
	}
	for flow := range uint64(flows) {
		if a, b := seen[0][flow], seen[1][flow]; a+b != rounds || a != 0 && b != 0 {
			t.Errorf("flow %d: %d frames to one queue, %d to the other, of %d", flow, a, b, rounds)
		}
	}
	if len(seen[0]) == 0 || len(seen[1]) == 0 {
		t.Errorf("%d and %d flows", len(seen[0]), len(seen[1]))
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

func TestReadBatchOfWriteOnlyQueue(t *testing.T) {
	l := newLab(t, 1500)
	q := l.open(l.middle, PacketOptions{Interface: l.in0.name, TxOnly: true})
	if _, err := q.ReadBatch(make([][]byte, 1)); err == nil {
		t.Error("a write-only queue was read")
	}
}
