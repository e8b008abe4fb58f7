package gateway

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// GSO types of struct virtio_net_hdr (Virtual I/O Device 1.1 §5.1.6).
const (
	gsoTCPv4 = 1
	gsoUDPv4 = 5
	gsoECN   = 0x80 // a flag beside them
)

// super returns b as a frame that the device is to cut into segments of size
// bytes of payload.
func super(b []byte, gso byte, size, header int) []byte {
	f := packettest.Ethernet(b, packettest.Link{NeedsCsum: true})
	f[vnetGSOType] = gso
	binary.NativeEndian.PutUint16(f[2:], uint16(packettest.EthernetLen+header))
	binary.NativeEndian.PutUint16(f[vnetGSOSize:], uint16(size))
	return f
}

// vnetOf is the offload header of the one frame that was written to a side.
func (r *rig) vnetOf(side nexthop.Side) []byte {
	r.t.Helper()
	if len(r.sent[side]) != 1 {
		r.t.Fatalf("%d frames went out %v, want 1", len(r.sent[side]), side)
	}
	return slices.Clone(r.sent[side][0][:packettest.VNetLen])
}

func TestPartialChecksums(t *testing.T) {
	r := newRig(t)
	c := r.open(client)
	public := r.udp(client, server)
	for _, d := range []struct {
		name string
		from nexthop.Side
		b    []byte
	}{
		{"TCP out", nexthop.Inside, packettest.TCP(packettest.Segment{Src: client, Dst: server, Seq: c.clientSeq, Ack: c.serverSeq, Flags: packet.ACK, Payload: "odd"})},
		{"TCP in", nexthop.Outside, packettest.TCP(packettest.Segment{Src: server, Dst: c.public, Seq: c.serverSeq, Ack: c.clientSeq, Flags: packet.ACK, Payload: "even"})},
		{"UDP out", nexthop.Inside, datagram(client, server)},
		{"UDP in", nexthop.Outside, datagram(server, public)},
		{"first of a flow", nexthop.Inside, syn("10.0.0.11:7", secondServer)},
	} {
		frame := packettest.Ethernet(d.b, packettest.Link{NeedsCsum: true})
		if v := r.sendFrame(d.from, bytes.Clone(frame)); v != Forwarded {
			t.Fatalf("%s: verdict %v", d.name, v)
		}
		if got := r.vnetOf(opposite(d.from)); !bytes.Equal(got, frame[:packettest.VNetLen]) {
			t.Errorf("%s: the offload header became % x, was % x", d.name, got, frame[:packettest.VNetLen])
		}
		if v := r.one(opposite(d.from)); v.Payload != packettest.Fields(t, d.b).Payload {
			t.Errorf("%s: the payload is %q", d.name, v.Payload)
		}
	}
}

// A checksum is the device's to complete only if the header says so, and only if
// it is this packet's own, not that of one inside it (a tunnel over UDP).
func TestChecksumsThatAreWholeAlready(t *testing.T) {
	for name, c := range map[string]struct {
		flags byte
		start uint16
	}{
		"of an inner packet": {vnetNeedsCsum, 14 + 20 + 8},
		"found valid":        {2, 14 + 20}, // VIRTIO_NET_HDR_F_DATA_VALID
	} {
		r := newRig(t)
		frame := framed(datagram(client, server))
		frame[vnetFlags] = c.flags
		binary.NativeEndian.PutUint16(frame[vnetCsumStart:], c.start)
		if v := r.sendFrame(nexthop.Inside, frame); v != Forwarded {
			t.Fatal(v)
		}
		if err := packettest.Verify(r.sent[nexthop.Outside][0][headroom:]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSuperPackets(t *testing.T) {
	for _, c := range []struct {
		name      string
		size, n   int
		gso       byte
		mtu       int
		want      Verdict
		wantCount uint64
	}{
		{name: "TCP", gso: gsoTCPv4, size: 1448, n: 40_001, mtu: 1488, want: Forwarded, wantCount: 28},
		{name: "TCP, whole segments", gso: gsoTCPv4, size: 1448, n: 2 * 1448, mtu: 1488, want: Forwarded, wantCount: 2},
		{name: "TCP with ECN", gso: gsoTCPv4 | gsoECN, size: 1000, n: 1001, mtu: 1500, want: Forwarded, wantCount: 2},
		{name: "TCP, largest", gso: gsoTCPv4, size: 1448, n: 65535 - 40, mtu: 1500, want: Forwarded, wantCount: 46},
		{name: "TCP, one segment", gso: gsoTCPv4, size: 1448, n: 1448, mtu: 1488, want: Forwarded, wantCount: 1},
		{name: "TCP, segments too big", gso: gsoTCPv4, size: 1449, n: 40_000, mtu: 1488, want: DropTooBig},
		{name: "TCP, no size", gso: gsoTCPv4, n: 40_000, mtu: 1500, want: DropTooBig},
		{name: "no super-packet", size: 1448, n: 1461, mtu: 1500, want: DropTooBig},
		{name: "UDP", gso: gsoUDPv4, size: 1200, n: 12_000, mtu: 1228, want: Forwarded, wantCount: 10},
		{name: "UDP, segments too big", gso: gsoUDPv4, size: 1200, n: 12_000, mtu: 1227, want: DropTooBig},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			payload, frame := strings.Repeat("tide", c.n)[:c.n], []byte(nil)
			if c.gso == gsoUDPv4 {
				r.udp(client, server)
				frame = super(packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: payload, IP: packettest.IP{DF: true}}), c.gso, c.size, 28)
			} else {
				o := r.open(client)
				frame = super(packettest.TCP(packettest.Segment{Src: client, Dst: server, Seq: o.clientSeq, Ack: o.serverSeq, Flags: packet.ACK, Payload: payload, IP: packettest.IP{DF: true}}), c.gso, c.size, 40)
			}
			r.hops.hop[nexthop.Outside].MTU = c.mtu
			before := r.flows()[0].Packets[0]
			if v := r.sendFrame(nexthop.Inside, bytes.Clone(frame)); v != c.want {
				t.Fatalf("verdict %v, want %v", v, c.want)
			}
			if n := r.flows()[0].Packets[0] - before; n != c.wantCount {
				t.Errorf("counted as %d packets, want %d", n, c.wantCount)
			}
			if c.want == DropTooBig {
				if got := r.one(nexthop.Inside); got.Code != 4 || int(got.EchoSeq) != c.mtu {
					t.Errorf("the sender learns of it by %+v", got)
				}
				return
			}
			if got := r.vnetOf(nexthop.Outside); !bytes.Equal(got, frame[:packettest.VNetLen]) {
				t.Errorf("the offload header became % x", got)
			}
			if v := r.one(nexthop.Outside); v.Payload != payload {
				t.Error("the payload is another")
			}
		})
	}
}

func TestLinkPaddingIsTrimmed(t *testing.T) {
	r := newRig(t)
	padded := func(from nexthop.Side, ip []byte) int {
		r.sendFrame(from, append(packettest.Ethernet(ip, packettest.Link{VNet: true}), "padding of the link"...))
		for _, side := range []nexthop.Side{from, opposite(from)} {
			if len(r.sent[side]) == 1 {
				n := len(r.sent[side][0]) - headroom
				r.one(side)
				return n
			}
		}
		return 0
	}
	for _, b := range [][]byte{datagram(client, server), syn(client, server), ping("10.0.0.10", serverHost, 1), ping("10.0.0.10", "203.0.113.5", 1)} {
		if n := padded(nexthop.Inside, b); n != len(b) {
			t.Errorf("%s: %d bytes went out, want %d", packettest.Describe(b), n, len(b))
		}
	}
	dying := edited(datagram(client, server), func(b []byte) { b[8] = 1 })
	if n := padded(nexthop.Inside, dying); n != 28+len(dying) {
		t.Errorf("the error about a padded packet has %d bytes, want %d", n, 28+len(dying))
	}
	if n := r.Snapshot().Counters.Traffic[nexthop.Outside].BytesOut; n != uint64(len(datagram(client, server))+len(syn(client, server))+len(ping("1.1.1.1", "1.1.1.1", 1))) {
		t.Errorf("%d bytes are counted out", n)
	}
}

// The link header is the next hop's, whatever the packet came with.
func TestLinkHeader(t *testing.T) {
	r := newRig(t)
	c := r.open(client)
	r.pass(nexthop.Inside, datagram(client, server))
	r.expect(Forwarded, nexthop.Outside, packettest.TCP(packettest.Segment{Src: server, Dst: c.public, Seq: c.serverSeq, Ack: c.clientSeq, Flags: packet.ACK}))
	if got := r.sent[nexthop.Inside][0][packettest.VNetLen:headroom]; !bytes.Equal(got, r.hops.hop[nexthop.Inside].Ether[:]) {
		t.Errorf("to the inside: % x", got)
	}
	r.expect(Forwarded, nexthop.Inside, datagram(client, server))
	if got := r.sent[nexthop.Outside][0][packettest.VNetLen:headroom]; !bytes.Equal(got, r.hops.hop[nexthop.Outside].Ether[:]) {
		t.Errorf("to the outside: % x", got)
	}
}

// What the gateway makes itself asks nothing of the device, also where the
// memory for it held something else before.
func TestOwnFramesHaveNoOffload(t *testing.T) {
	r := newRig(t)
	dying := packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: strings.Repeat("\xff", 600), IP: packettest.IP{TTL: 1}})
	for range 2 {
		w := r.ports[nexthop.Inside]
		w.forwardBatch([][]byte{partial(dying), framed(edited(datagram(client, server), func(b []byte) { b[8] = 1 })), partial(dying)}, r.clock)
		if err := w.flush(); err != nil {
			t.Fatal(err)
		}
		if len(r.sent[nexthop.Inside]) != 3 {
			t.Fatalf("%d errors were sent", len(r.sent[nexthop.Inside]))
		}
		for _, f := range r.sent[nexthop.Inside] {
			if vnet := f[:packettest.VNetLen]; !bytes.Equal(vnet, make([]byte, packettest.VNetLen)) {
				t.Errorf("the offload header is % x", vnet)
			}
		}
		r.take(nexthop.Inside)
		dying = edited(datagram(client, server), func(b []byte) { b[8] = 0 })
	}
}
