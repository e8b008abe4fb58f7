package packetio

import (
	"bytes"
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

// Large frames that the socket's queue has no room for are lost and counted, even
// if they are all that is in the ring.
func TestLargeFramesBeyondBuffer(t *testing.T) {
	l := newLab(t, 9000)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	check(t, in.control(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 40_000) }))
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	const last = ringFrames - 1
	for tag := range uint64(last) {
		write(t, out, udp(l.c0.mac, l.in0.mac, 9000, 1, tag))
	}
	write(t, out, udp(l.c0.mac, l.in0.mac, 60, 1, last))
	got := uint64(0)
	for next := uint64(0); next <= last; {
		for _, f := range readFrames(t, in, 1) {
			if tagOf(f) < next {
				t.Fatalf("frame %d after %d", tagOf(f), next-1)
			}
			next = tagOf(f) + 1
			got++
		}
	}
	if s := in.Stats(); s.Truncated != ringFrames-got || got < 3 || s.Dropped != 0 {
		t.Errorf("%d of %d frames came, %+v", got, ringFrames, s)
	}
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

// A reader that has to wait parks without allocating too.
func TestWaitingAllocatesNothing(t *testing.T) {
	l := newLab(t, 1500)
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	frames := [][]byte{udp(l.c0.mac, l.in0.mac, 60, 1, 0)}
	turn := make(chan struct{})
	defer close(turn)
	go func() {
		for range turn {
			time.Sleep(time.Millisecond) // the reader is parked by now
			out.WriteBatch(frames)
		}
	}()
	batch := make([][]byte, BatchSize)
	if allocs := testing.AllocsPerRun(50, func() {
		turn <- struct{}{}
		if _, err := in.ReadBatch(batch); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations per wait", allocs)
	}
}

func TestFanoutKeepsFlowsTogether(t *testing.T) {
	l := newLab(t, 1500)
	group := []*PacketQueue{
		l.open(l.middle, PacketOptions{Interface: l.in0.name, Fanout: 11}),
		l.open(l.middle, PacketOptions{Interface: l.in0.name, Fanout: 11}),
	}
	const each = 10
	var flows []uint64
	for flow := range uint64(63) { // an odd number, so that taking turns would not do
		flows = append(flows, flow)
	}
	var total, readers sync.WaitGroup
	total.Add(len(flows) * each)
	seen := make([]map[uint64]int, len(group))
	for i, q := range group {
		seen[i] = map[uint64]int{}
		readers.Go(func() {
			readAll(q, func(f []byte) {
				seen[i][tagOf(f)]++
				total.Done()
			})
		})
	}
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	for range each {
		for _, flow := range flows {
			write(t, out, udp(l.c0.mac, l.in0.mac, 60, 1000+uint16(flow), flow))
		}
	}
	total.Wait()
	for _, q := range group {
		check(t, q.Close())
	}
	readers.Wait()
	expectTogether(t, seen, flows, each)
}

func TestWriteOnlyQueueReceivesNothing(t *testing.T) {
	l := newLab(t, 1500)
	q := l.open(l.middle, PacketOptions{Interface: l.in0.name, TxOnly: true})
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	write(t, out, udp(l.c0.mac, l.in0.mac, 60, 1, 0))
	time.Sleep(10 * time.Millisecond)
	check(t, q.control(func(fd int) error {
		s, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err == nil && s.Packets != 0 {
			t.Errorf("the kernel queued %d frames", s.Packets)
		}
		return err
	}))
	if _, err := q.ReadBatch(make([][]byte, 1)); err == nil {
		t.Error("a write-only queue was read")
	}
}
