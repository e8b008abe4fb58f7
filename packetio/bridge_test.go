package packetio

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// bridge forwards between the middle's two interfaces as a gateway would that
// translates nothing: it gives frames new MAC addresses and leaves the rest alone.
type bridge struct {
	*lab
	readers, writers [2]*PacketQueue
	longest          atomic.Int64 // IP packet, bytes
	super, partial   atomic.Int64 // frames with segmentation, and with a checksum, left to the device
	done             sync.WaitGroup
}

func startBridge(l *lab) *bridge {
	b := &bridge{lab: l}
	near, far := [2]link{l.in0, l.out0}, [2]link{l.c0, l.s0}
	for i := range near {
		b.readers[i] = l.open(l.middle, PacketOptions{Interface: near[i].name})
		b.writers[i] = l.open(l.middle, PacketOptions{Interface: near[i].name, TxOnly: true})
	}
	for i := range near {
		ether := bytes.Join([][]byte{far[1-i].mac, near[1-i].mac}, nil)
		b.done.Go(func() { b.forward(b.readers[i], b.writers[1-i], ether) })
	}
	l.t.Cleanup(b.stop)
	return b
}

func (b *bridge) forward(from, to *PacketQueue, ether []byte) {
	batch := make([][]byte, BatchSize)
	for {
		n, err := from.ReadBatch(batch)
		if err == nil {
			for _, f := range batch[:n] {
				b.look(f)
				copy(f[vnetLen:], ether)
			}
			_, err = to.WriteBatch(batch[:n])
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			b.t.Error(err)
			return
		}
	}
}

func (b *bridge) look(f []byte) {
	if n := int64(len(f) - vnetLen - etherLen); n > b.longest.Load() {
		b.longest.Store(n)
	}
	if f[0]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0 {
		b.partial.Add(1)
	}
	if f[1] != unix.VIRTIO_NET_HDR_GSO_NONE {
		b.super.Add(1)
	}
}

func (b *bridge) stop() {
	for _, r := range b.readers {
		r.Close()
	}
	b.done.Wait()
}

// expectSuper checks that super-packets went through whole, and nothing was refused.
func (b *bridge) expectSuper(longer int64) {
	b.t.Helper()
	for i, w := range b.writers {
		if s := w.Stats(); s.Refused != (Refused{}) {
			b.t.Errorf("writer %d refused %+v", i, s.Refused)
		}
		if s := b.readers[i].Stats(); s.Truncated != 0 {
			b.t.Errorf("reader %d truncated %d", i, s.Truncated)
		}
	}
	if b.longest.Load() <= longer || b.super.Load() == 0 || b.partial.Load() == 0 {
		b.t.Errorf("longest packet %d bytes, %d super-packets, %d partial checksums; want more than %d, and some",
			b.longest.Load(), b.super.Load(), b.partial.Load(), longer)
	}
	b.t.Logf("longest packet %d bytes, %d super-packets", b.longest.Load(), b.super.Load())
}

const transferLen = 24 << 20

// Two kernels' TCP talk through a pair of queues, 24 MB each way at once, with
// segmentation and checksums left to devices that do not exist.
func TestTCPThroughQueues(t *testing.T) {
	l := newLab(t, 1500)
	b := startBridge(l)
	exchange(t, l.client, l.server, transferLen)
	b.expectSuper(1500)
}

// exchange sends n bytes each way over one TCP connection, and compares hashes.
func exchange(t *testing.T, client, server netns.NsHandle, n int64) {
	t.Helper()
	var ln net.Listener
	within(t, server, func() { ln = must(net.Listen("tcp4", serverIP+":7000"))(t) })
	defer ln.Close()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() {
		c, err := ln.Accept()
		if err == nil {
			err = swap(c, n, 2, 1)
		}
		if err != nil {
			t.Errorf("server: %v", err)
		}
	})
	var c net.Conn
	within(t, client, func() {
		d := net.Dialer{Timeout: 10 * time.Second}
		c = must(d.Dial("tcp4", serverIP+":7000"))(t)
	})
	if err := swap(c, n, 1, 2); err != nil {
		t.Errorf("client: %v", err)
	}
}

// swap sends the n bytes that grow from one seed, and expects those of another.
func swap(c net.Conn, n int64, own, other byte) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(c, stream(own, n))
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	got, want := sha256.New(), sha256.New()
	io.Copy(want, stream(other, n))
	_, err := io.Copy(got, c)
	if err == nil && !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		err = errors.New("not what was sent")
	}
	return errors.Join(err, <-sent)
}

func stream(seed byte, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), n)
}

// A UDP_SEGMENT send goes through as one frame, and arrives as the datagrams it
// stands for.
func TestUDPSegmentsThroughQueues(t *testing.T) {
	const size, count, sends = 1200, 40, 50
	l := newLab(t, 1500)
	b := startBridge(l)
	var in, out *net.UDPConn
	within(t, l.server, func() {
		in = must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(serverIP), Port: 7001}))(t)
	})
	within(t, l.client, func() { out = must(net.DialUDP("udp4", nil, in.LocalAddr().(*net.UDPAddr)))(t) })
	defer in.Close()
	defer out.Close()
	check(t, in.SetReadBuffer(4<<20))
	raw := must(out.SyscallConn())(t)
	check(t, raw.Control(func(fd uintptr) {
		check(t, unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, size))
	}))
	payload := make([]byte, size*count)
	datagram := make([]byte, 2*size)
	for s := range sends {
		for i := range count {
			binary.BigEndian.PutUint64(payload[i*size:], uint64(s*count+i))
		}
		must(out.Write(payload))(t)
		for i := range count {
			in.SetReadDeadline(time.Now().Add(5 * time.Second))
			n := must(in.Read(datagram))(t)
			if tag := binary.BigEndian.Uint64(datagram); n != size || tag != uint64(s*count+i) {
				t.Fatalf("datagram %d: %d bytes with tag %d", s*count+i, n, tag)
			}
		}
	}
	b.expectSuper(size*count - 1)
	if got := b.super.Load(); got != sends {
		t.Errorf("%d super-packets for %d sends", got, sends)
	}
}

// A frame longer than any IP packet (the host was allowed to build such) is
// dropped and counted, and those around it are not.
func TestOverlongFrameIsTruncated(t *testing.T) {
	l := newLab(t, 1500)
	const room = 185_000
	for ns, on := range map[netns.NsHandle]link{l.client: l.c0, l.middle: l.in0} {
		within(t, ns, func() { check(t, raiseGSO(on.name, room)) })
	}
	in := l.open(l.middle, PacketOptions{Interface: l.in0.name})
	out := l.open(l.client, PacketOptions{Interface: l.c0.name, TxOnly: true})
	longest := func(ip int, tag uint64) []byte {
		f := udp(l.c0.mac, l.in0.mac, 14+ip, 1, tag)
		f[0], f[1] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_UDP_L4
		binary.NativeEndian.PutUint16(f[2:], 14+28)
		binary.NativeEndian.PutUint16(f[4:], 1472)
		binary.NativeEndian.PutUint16(f[6:], 34)
		binary.NativeEndian.PutUint16(f[8:], 6)
		return f
	}
	write(t, out, longest(65535, 1), longest(70000, 2), udp(l.c0.mac, l.in0.mac, 60, 1, 3))
	got := readFrames(t, in, 2)
	if tagOf(got[0]) != 1 || len(got[0]) != vnetLen+14+65535 || tagOf(got[1]) != 3 {
		t.Errorf("read %d bytes with tag %d, then tag %d", len(got[0]), tagOf(got[0]), tagOf(got[1]))
	}
	if s := in.Stats(); s.Truncated != 1 {
		t.Errorf("%+v, want one truncated", s)
	}
}
