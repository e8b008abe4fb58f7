package packetio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// maskedIP is what the server takes the client for.
const maskedIP = "10.99.0.3"

// offloaded is a frame's virtio_net_hdr, in host byte order as it stands there
// (TUNSETVNETLE is not set).
type offloaded struct {
	flags, gso                            byte
	headers, size, sumStart, sumAt, total int
}

func offloadOf(q *TUNQueue, f []byte) (o offloaded, ip []byte) {
	at := func(i int) int { return int(binary.NativeEndian.Uint16(f[i:])) }
	ip = f[q.Layout().Headroom():]
	if q.Layout().Vnet == 0 {
		return offloaded{total: len(ip)}, ip
	}
	return offloaded{f[0], f[1] &^ unix.VIRTIO_NET_HDR_GSO_ECN, at(2), at(4), at(6), at(8), len(ip)}, ip
}

func (o offloaded) partial() bool { return o.flags&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0 }

// verify says what is wrong with a frame, whose checksums are added up the slow way.
func (o offloaded) verify(ip []byte) error {
	l4, sumAt, gso, header := 20, 16, byte(unix.VIRTIO_NET_HDR_GSO_TCPV4), 20
	if ip[9] == unix.IPPROTO_UDP {
		sumAt, gso, header = 6, unix.VIRTIO_NET_HDR_GSO_UDP_L4, 8
	} else {
		header = int(ip[l4+12]>>4) * 4
	}
	switch {
	case o.partial() && (o.sumStart != l4 || o.sumAt != sumAt):
		return fmt.Errorf("the checksum of %d bytes is at %d from %d", o.total, o.sumAt, o.sumStart)
	case o.gso == 0 && o.total > 1500:
		return fmt.Errorf("%d bytes are no super-packet", o.total)
	case o.gso == 0:
	case o.gso != gso || !o.partial() || o.headers < l4+header || o.size+l4+header > 1500 || o.total <= o.size+l4+header:
		return fmt.Errorf("a super-packet of %d bytes has %+v", o.total, o)
	}
	if o.partial() {
		ip = packettest.Complete(ip)
	}
	return packettest.Verify(ip)
}

// masquerade carries packets between two queues, and gives those of the client
// another address and port on the way.
type masquerade struct {
	t        *testing.T
	from, to *TUNQueue
	back     bool
	super    int // super-packets read
	partial  int // unfinished checksums read
	longest  int // bytes of a packet
	sent     int // IPv4 packets written, as many as were read
}

func (m *masquerade) run() {
	batch := make([][]byte, BatchSize)
	for {
		n, err := m.from.ReadBatch(batch)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		var out [][]byte
		for _, f := range batch[:n] {
			if f[m.from.Layout().Headroom()]>>4 == 4 { // the kernel's IPv6 stays here
				m.translate(f)
				out = append(out, f)
			}
		}
		sent, writeErr := m.to.WriteBatch(out)
		if errors.Is(writeErr, net.ErrClosed) {
			return
		}
		m.sent += sent
		if err := errors.Join(err, writeErr); err != nil || sent != len(out) {
			m.t.Errorf("wrote %d of %d packets: %v", sent, len(out), err)
			return
		}
	}
}

func (m *masquerade) translate(f []byte) {
	o, ip := offloadOf(m.from, f)
	if err := o.verify(ip); err != nil {
		m.t.Errorf("read: %v", err)
	}
	var p packet.Parsed
	if fault := packet.Decode(ip, &p); fault != packet.FaultNone {
		m.t.Errorf("fault %v", fault)
		return
	}
	to := p.Tuple
	if m.back {
		to.Dst, to.DstPort = packettest.Addr(clientIP), p.Tuple.DstPort^1
	} else {
		to.Src, to.SrcPort = packettest.Addr(maskedIP), p.Tuple.SrcPort^1
	}
	rewrite := packet.NewRewrite(p.Tuple, to)
	rewrite.Apply(ip, &p, o.partial(), packet.KeepTTL)
	if err := o.verify(ip); err != nil {
		m.t.Errorf("translated: %v", err)
	}
	m.longest = max(m.longest, o.total)
	if o.gso != 0 {
		m.super++
	}
	if o.partial() {
		m.partial++
	}
}

// tunPair is a client and a server that reach each other by TUN only.
//
//	client tide0 10.99.0.1 ─ masquerade ─ 10.99.0.2 tide0 server
type tunPair struct {
	client, server netns.NsHandle
	out, back      *masquerade
	stop           func()
}

func newTUNPair(t *testing.T, k kernel) *tunPair {
	t.Helper()
	p := &tunPair{client: namespace(t), server: namespace(t)}
	a := k.openTun(t, p.client, TUNOptions{Name: "tide0"}, clientIP+"/24")[0]
	b := k.openTun(t, p.server, TUNOptions{Name: "tide%d"}, serverIP+"/24")[0]
	p.out, p.back = &masquerade{t: t, from: a, to: b}, &masquerade{t: t, from: b, to: a, back: true}
	var group sync.WaitGroup
	group.Go(p.out.run)
	group.Go(p.back.run)
	p.stop = func() {
		for _, q := range []*TUNQueue{a, b} {
			check(t, q.Close())
			if r := q.Stats().Refused; r != (Refused{}) {
				t.Errorf("refused %+v", r)
			}
		}
		group.Wait()
	}
	t.Cleanup(p.stop)
	return p
}

// Two kernels' TCP talk through two TUN interfaces and a translation. Super-packets
// cross whole, both ways.
func TestTCPThroughTUN(t *testing.T) {
	for _, k := range kernels {
		t.Run(k.name, func(t *testing.T) {
			p := newTUNPair(t, k)
			exchange(t, p.client, p.server, 4<<20)
			p.stop()
			for _, m := range []*masquerade{p.out, p.back} {
				if whole := m.super > 0 && m.partial > 0 && m.longest > 1500; whole != k.tcp {
					t.Errorf("%d super-packets, longest %d bytes, %d partial checksums", m.super, m.longest, m.partial)
				}
				t.Logf("%d packets, %d of them super-packets, longest %d bytes", m.sent, m.super, m.longest)
			}
		})
	}
}

// A UDP_SEGMENT send crosses as one packet where the kernel knows how, and arrives
// as the datagrams it stands for.
func TestUDPSegmentsThroughTUN(t *testing.T) {
	const size, count, sends = 1200, 40, 20
	for _, k := range kernels {
		t.Run(k.name, func(t *testing.T) {
			p := newTUNPair(t, k)
			var in *net.UDPConn
			within(t, p.server, func() {
				in = must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(serverIP), Port: 9}))(t)
			})
			defer in.Close()
			check(t, in.SetReadBuffer(4<<20))
			check(t, in.SetReadDeadline(time.Now().Add(20*time.Second)))
			out := socket(t, p.client)
			payload, datagram := make([]byte, size*count), make([]byte, 2*size)
			for s := range sends {
				for i := range count {
					binary.BigEndian.PutUint64(payload[i*size:], uint64(s*count+i))
				}
				sendSegments(t, out, payload, size)
				for i := range count {
					n, from, err := in.ReadFromUDP(datagram)
					check(t, err)
					if from.IP.String() != maskedIP || !bytes.Equal(datagram[:n], payload[i*size:(i+1)*size]) {
						t.Fatalf("datagram %d: %d bytes from %v", i, n, from)
					}
				}
			}
			p.stop()
			want := masquerade{super: sends, sent: sends, longest: 28 + size*count}
			if !k.udp {
				want = masquerade{super: 0, sent: sends * count, longest: 28 + size}
			}
			if m := p.out; m.super != want.super || m.sent != want.sent || m.longest != want.longest {
				t.Errorf("%d packets, %d of them super-packets, longest %d bytes; want %d, %d, %d",
					m.sent, m.super, m.longest, want.sent, want.super, want.longest)
			}
		})
	}
}

// sendSegments sends b as datagrams of size bytes, with one call.
func sendSegments(t *testing.T, c *net.UDPConn, b []byte, size int) {
	t.Helper()
	raw := must(c.SyscallConn())(t)
	check(t, raw.Control(func(fd uintptr) {
		check(t, unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, size))
	}))
	must(c.Write(b))(t)
}
