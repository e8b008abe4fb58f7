package gateway

import (
	"encoding/binary"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packetio"
)

// Reader is a queue that packets come from. The frames of a batch die at the
// next ReadBatch.
type Reader interface {
	ReadBatch(frames [][]byte) (int, error)
	Layout() packetio.Layout
	Close() error
}

// Writer is a queue that packets leave by. It keeps no frame.
type Writer interface {
	WriteBatch(frames [][]byte) (int, error)
	Layout() packetio.Layout
}

// Router says where a packet goes next. One goroutine uses one Router.
type Router interface {
	// Hop returns the next hop on the way to dst, which must lead out on that side.
	Hop(dst packet.Addr, out nexthop.Side) (*nexthop.Hop, nexthop.Status)
	// Solicit asks for the neighbour on the way to dst to be resolved. It does not block.
	Solicit(dst packet.Addr)
	// Local says whether the host itself answers to dst.
	Local(dst packet.Addr) bool
	// Address returns the gateway's own address on that side, 0 if it has none.
	Address(side nexthop.Side) packet.Addr
}

// Port is what one goroutine reads from and writes to.
type Port struct {
	Reader  Reader // nil for the control goroutine
	Writers [2]Writer
	Router  Router
	Side    nexthop.Side
	Tunnel  bool // one interface carries both sides: the kernel routes before and after us
}

// frame layout, and the offload header that a queue may put in front.
type layout struct {
	packetio.Layout
	headroom int
}

func newLayout(l packetio.Layout) layout { return layout{l, l.Headroom()} }

// Offsets in struct virtio_net_hdr (Virtual I/O Device 1.1 §5.1.6), which the
// kernel gives and takes in host byte order on a packet socket.
const (
	vnetFlags     = 0
	vnetGSOType   = 1
	vnetGSOSize   = 4
	vnetCsumStart = 6
	vnetCsumAt    = 8

	vnetNeedsCsum = 1
)

// partial says that the transport checksum is left to the device to complete.
func (l layout) partial(frame []byte, p *packet.Parsed) bool {
	if l.Vnet == 0 || frame[vnetFlags]&vnetNeedsCsum == 0 {
		return false
	}
	return int(binary.NativeEndian.Uint16(frame[vnetCsumStart:])) == l.Link+p.L4
}

// detach makes a packet independent of the device that it will leave by, which may
// know nothing of its protocol: a checksum left to it is finished. false: it is a
// super-packet, which only a device that knows the protocol takes apart.
func (l layout) detach(frame []byte, p *packet.Parsed) bool {
	switch {
	case l.Vnet == 0:
		return true
	case frame[vnetGSOType] != 0:
		return false
	case frame[vnetFlags]&vnetNeedsCsum == 0:
		return true
	}
	start := int(binary.NativeEndian.Uint16(frame[vnetCsumStart:])) - l.Link
	at := start + int(binary.NativeEndian.Uint16(frame[vnetCsumAt:]))
	clear(frame[:l.Vnet])
	return packet.FinishChecksum(frame[l.headroom:], p, start, at)
}

// segments returns how many packets on the wire the frame becomes, and the
// length of the largest.
func (l layout) segments(frame []byte, p *packet.Parsed) (n, largest int) {
	if l.Vnet == 0 || frame[vnetGSOType] == 0 {
		return 1, p.Total
	}
	size := int(binary.NativeEndian.Uint16(frame[vnetGSOSize:]))
	if size == 0 || p.Payload <= size {
		return 1, p.Total
	}
	return (p.Payload + size - 1) / size, p.Total - p.Payload + size
}

func sideOf(inside bool) nexthop.Side {
	if inside {
		return nexthop.Inside
	}
	return nexthop.Outside
}

func opposite(s nexthop.Side) nexthop.Side { return s ^ 1 }
