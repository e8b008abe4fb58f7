package lab

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"
)

// maxFrame is the longest frame a capture keeps whole, in bytes: a super-packet
// of 64 KiB with its Ethernet header, and room.
const maxFrame = 1<<16 + 64

// Packet is a captured frame: a gopacket.Packet, which decodes when it is asked,
// and what the kernel says about the frame. Metadata holds its time. Like every
// lazy gopacket.Packet it is for one goroutine at a time.
type Packet struct {
	gopacket.Packet
	// Outgoing: the host sent it by this interface. Otherwise it came in.
	Outgoing bool
	// PartialChecksum: the transport checksum is the pseudo-header's sum alone.
	PartialChecksum bool
}

// IPv4 returns the packet's IPv4 header, nil if it has none.
func (p Packet) IPv4() *layers.IPv4 { return layer[*layers.IPv4](p, layers.LayerTypeIPv4) }

// TCP returns the packet's TCP header, nil if it has none.
func (p Packet) TCP() *layers.TCP { return layer[*layers.TCP](p, layers.LayerTypeTCP) }

// UDP returns the packet's UDP header, nil if it has none.
func (p Packet) UDP() *layers.UDP { return layer[*layers.UDP](p, layers.LayerTypeUDP) }

// ICMP returns the packet's ICMP header, nil if it has none.
func (p Packet) ICMP() *layers.ICMPv4 { return layer[*layers.ICMPv4](p, layers.LayerTypeICMPv4) }

func layer[L gopacket.Layer](p Packet, kind gopacket.LayerType) L {
	l, _ := p.Layer(kind).(L)
	return l
}

// frame is a captured frame before anybody decodes it.
type frame struct {
	seen     gopacket.CaptureInfo
	bytes    []byte
	outgoing bool
	partial  bool
}

// packet returns a Packet of its own for each call, because decoding changes it.
func (f frame) packet() Packet {
	p := gopacket.NewPacket(f.bytes, layers.LayerTypeEthernet, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	p.Metadata().CaptureInfo = f.seen
	return Packet{Packet: p, Outgoing: f.outgoing, PartialChecksum: f.partial}
}

// A receiver reads frames from a packet socket, one at a time.
type receiver struct {
	buf, control []byte
	frame        frame
	err          error
}

func newReceiver() *receiver {
	return &receiver{buf: make([]byte, maxFrame), control: make([]byte, 256)}
}

// receive reads one frame into r.frame, or why there is none into r.err. It
// reports false when there is nothing to read yet.
func (r *receiver) receive(fd uintptr) bool {
	for {
		n, nc, _, from, err := unix.Recvmsg(int(fd), r.buf, r.control, unix.MSG_DONTWAIT)
		switch err {
		case unix.EAGAIN:
			return false
		case unix.EINTR, unix.ENETDOWN: // the interface went down; it may come up again
			continue
		case nil:
			r.keep(r.buf[:n], r.control[:nc], from)
		}
		r.err = err
		return true
	}
}

// keep copies the frame out of the buffer.
func (r *receiver) keep(b, control []byte, from unix.Sockaddr) {
	r.frame = frame{bytes: bytes.Clone(b), seen: gopacket.CaptureInfo{
		Timestamp: time.Now(), CaptureLength: len(b), Length: len(b),
	}}
	if ll, ok := from.(*unix.SockaddrLinklayer); ok {
		r.frame.outgoing = ll.Pkttype == unix.PACKET_OUTGOING
		r.frame.seen.InterfaceIndex = ll.Ifindex
	}
	messages, _ := unix.ParseSocketControlMessage(control)
	for _, m := range messages {
		r.annotate(m)
	}
}

// annotate takes what the kernel says beside the frame: packet(7), socket(7).
func (r *receiver) annotate(m unix.SocketControlMessage) {
	switch {
	case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16:
		seconds := int64(binary.NativeEndian.Uint64(m.Data))
		r.frame.seen.Timestamp = time.Unix(seconds, int64(binary.NativeEndian.Uint64(m.Data[8:])))
	case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 8:
		// struct tpacket_auxdata opens with tp_status and tp_len.
		r.frame.partial = binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_CSUMNOTREADY != 0
		r.frame.seen.Length = int(binary.NativeEndian.Uint32(m.Data[4:]))
	}
}
