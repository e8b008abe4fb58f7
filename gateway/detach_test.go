package gateway

import (
	"bytes"
	"encoding/binary"
	"testing"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// offloaded is a packet as a socket on this host leaves it to a device: with a
// checksum at offset at of what follows start in the packet, still to be finished.
func offloaded(ip []byte, start, at int) []byte {
	f := packettest.Ethernet(ip, packettest.Link{VNet: true})
	clear(f[:10])
	f[vnetFlags] = vnetNeedsCsum
	binary.NativeEndian.PutUint16(f[vnetCsumStart:], uint16(14+start))
	binary.NativeEndian.PutUint16(f[vnetCsumAt:], uint16(at))
	return f
}

// A device outside may know nothing of SCTP or of what is in a tunnel.
func TestOneToOneFinishesChecksums(t *testing.T) {
	sctp := packettest.IPv4(packettest.Packet{Src: pipBackend, Dst: serverHost, Proto: packet.SCTP,
		Payload: "\x00\x01\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00123456789"})
	inner := packettest.UDP(packettest.Datagram{Src: "192.168.0.1:1", Dst: "192.168.0.2:2", Payload: "odd"})
	partial := packettest.Partial(bytes.Clone(inner))
	gre := func(in []byte) []byte {
		return packettest.IPv4(packettest.Packet{Src: pipBackend, Dst: serverHost, Proto: packet.GRE, Payload: "\x00\x00\x08\x00" + string(in)})
	}
	for _, c := range []struct {
		frame []byte
		check func(payload []byte) bool
	}{
		{offloaded(sctp, 20, 8), func(b []byte) bool { return binary.LittleEndian.Uint32(b[8:]) == slowCRC32C(b) }},
		{offloaded(gre(partial), 20+4+20, 6), func(b []byte) bool { return bytes.Equal(b[4:], inner) }},
	} {
		r := newSite(t)
		if v := r.sendFrame(nexthop.Inside, c.frame); v != Forwarded {
			t.Fatalf("verdict %v", v)
		}
		sent := r.sent[nexthop.Outside][0]
		if !bytes.Equal(sent[:10], make([]byte, 10)) || !c.check(sent[headroom+20:]) {
			t.Errorf("left as % x", sent)
		}
	}
	super := offloaded(gre(partial), 44, 6)
	super[vnetGSOType] = 1
	r := newSite(t)
	if v := r.sendFrame(nexthop.Inside, super); v != DropTooBig {
		t.Errorf("a super-packet in a tunnel: %v", v)
	}
	r.silent()
}

// slowCRC32C is the CRC of an SCTP packet bit by bit, its own field taken for zero.
func slowCRC32C(b []byte) uint32 {
	b = bytes.Clone(b)
	clear(b[8:12])
	crc := ^uint32(0)
	for _, x := range b {
		crc ^= uint32(x)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0x82f63b78
			} else {
				crc >>= 1
			}
		}
	}
	return ^crc
}
