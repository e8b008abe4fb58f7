package nexthop

import (
	"encoding/binary"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"tidegate/packet"
)

const (
	etherTypeIPv4 = unix.ETH_P_IP
	etherTypeARP  = unix.ETH_P_ARP

	arpEthernet = 1 // ar$hrd, RFC 826
	arpRequest  = 1 // ar$op
	arpReply    = 2

	// arpLen is Ethernet header and ARP body of IPv4 over Ethernet, in bytes.
	// Shorter than a frame on the wire may be; the driver pads.
	arpLen = EtherLen + 28
)

// mac is an Ethernet address.
type mac [6]byte

var broadcast = mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// arp is an ARP packet, names as in RFC 5227.
type arp struct {
	op                  uint16
	senderMAC           mac
	sender              packet.Addr
	targetMAC           mac
	target              packet.Addr
	destination, source mac // of the frame
}

// parseARP reads a frame. It copies what it needs. Not ok is everything that is
// not ARP for IPv4 over Ethernet.
func parseARP(b []byte) (a arp, ok bool) {
	be := binary.BigEndian
	if len(b) < arpLen || be.Uint16(b[12:]) != etherTypeARP || be.Uint16(b[14:]) != arpEthernet ||
		be.Uint16(b[16:]) != etherTypeIPv4 || b[18] != 6 || b[19] != 4 {
		return arp{}, false
	}
	copy(a.destination[:], b)
	copy(a.source[:], b[6:])
	a.op = be.Uint16(b[20:])
	copy(a.senderMAC[:], b[22:])
	a.sender = packet.Addr(be.Uint32(b[28:]))
	copy(a.targetMAC[:], b[32:])
	a.target = packet.Addr(be.Uint32(b[38:]))
	return a, true
}

// frame returns the packet as it goes out.
func (a arp) frame() []byte {
	b, be := make([]byte, 0, arpLen), binary.BigEndian
	b = append(append(b, a.destination[:]...), a.source[:]...)
	b = be.AppendUint16(be.AppendUint16(b, etherTypeARP), arpEthernet)
	b = be.AppendUint16(append(be.AppendUint16(b, etherTypeIPv4), 6, 4), a.op)
	b = be.AppendUint32(append(b, a.senderMAC[:]...), uint32(a.sender))
	return be.AppendUint32(append(b, a.targetMAC[:]...), uint32(a.target))
}

// reply answers the request a: target is at own.
func (a arp) reply(own mac) arp {
	return arp{op: arpReply, senderMAC: own, sender: a.target, targetMAC: a.senderMAC, target: a.sender,
		destination: a.senderMAC, source: own}
}

// announcement says to everybody that own has addr (RFC 5227 §2.3).
func announcement(own mac, addr packet.Addr) arp {
	return arp{op: arpRequest, senderMAC: own, sender: addr, target: addr, destination: broadcast, source: own}
}

// arpFilter keeps out frames for another machine, which a promiscuous interface
// receives, and those that went on to an interface on top of this one, a VLAN or a
// macvlan, which the kernel shows to sockets of the lower one as well.
func arpFilter(link int) ([]bpf.RawInstruction, error) {
	return bpf.Assemble([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: unix.PACKET_MULTICAST, SkipTrue: 3},
		bpf.LoadExtension{Num: bpf.ExtInterfaceIndex},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(link), SkipTrue: 1},
		bpf.RetConstant{Val: 256},
		bpf.RetConstant{Val: 0},
	})
}
