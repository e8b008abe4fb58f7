package packettest

import (
	"encoding/binary"
	"net"
	"slices"
)

// Lengths before the IP header, in bytes.
const (
	EthernetLen = 14
	VNetLen     = 10 // struct virtio_net_hdr without num_buffers
)

// needsCsum is VIRTIO_NET_HDR_F_NEEDS_CSUM (linux/virtio_net.h).
const needsCsum = 1

// Link says what Ethernet puts before a packet.
type Link struct {
	Src, Dst  string // "02:00:00:00:00:01" and …:02 if empty
	VNet      bool   // a zero virtio_net_hdr comes first
	NeedsCsum bool   // a virtio_net_hdr comes first, and the checksum is partial
}

// Ethernet returns a frame that holds a copy of b, not padded.
func Ethernet(b []byte, l Link) []byte {
	frame := slices.Concat(mac(l.Dst, 2), mac(l.Src, 1), []byte{0x08, 0x00})
	switch {
	case l.NeedsCsum:
		return slices.Concat(vnet(b), frame, Partial(b))
	case l.VNet:
		return slices.Concat(make([]byte, VNetLen), frame, b)
	}
	return slices.Concat(frame, b)
}

// vnet tells the device where to begin adding up and where the result goes. Its
// numbers are in the machine's byte order, as packet sockets and TUN have them.
func vnet(b []byte) []byte {
	at := uint16(udpSumAt)
	if b[9] == protoTCP {
		at = tcpSumAt
	}
	h := make([]byte, VNetLen)
	h[0] = needsCsum
	binary.NativeEndian.PutUint16(h[6:], uint16(EthernetLen+headerLen(b)))
	binary.NativeEndian.PutUint16(h[8:], at)
	return h
}

func mac(s string, last byte) []byte {
	if s == "" {
		return []byte{2, 0, 0, 0, 0, last}
	}
	a, err := net.ParseMAC(s)
	must(err)
	return a
}
