package record

import (
	"encoding/binary"
	"time"

	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/packet"
)

// appendSession appends a record of createTemplate. Source is whoever began the
// flow; an identifier of ICMP stands in its port.
func appendSession(dst []byte, b *batch, e *gateway.Event, event byte) []byte {
	f := &e.Flow
	before, after := &f.Tuple[conntrack.Original], &f.Tuple[conntrack.Reply] // after comes from the other end: turned
	realm := byte(publicRealm)
	if f.Inside {
		realm = privateRealm
	}
	dst = append(appendMillis(dst, b.time(e.At)), event)
	dst = appendAddr(appendAddr(dst, before.Src), after.Dst)
	dst = append(dst, byte(before.Proto))
	dst = appendPort(appendPort(dst, before.SrcPort), after.DstPort)
	dst = appendAddr(appendAddr(dst, before.Dst), after.Src)
	dst = appendPort(appendPort(dst, before.DstPort), after.SrcPort)
	return binary.BigEndian.AppendUint64(append(dst, realm), uint64(f.ID))
}

// appendDeleted appends a record of deleteTemplate.
func appendDeleted(dst []byte, b *batch, e *gateway.Event) []byte {
	f := &e.Flow
	dst = appendSession(dst, b, e, nat44SessionDelete)
	dst = appendMillis(appendMillis(dst, b.time(f.Created)), b.time(f.LastSeen))
	dst = append(dst, endReason(e.Reason))
	for d := conntrack.Original; d <= conntrack.Reply; d++ {
		dst = binary.BigEndian.AppendUint64(dst, f.Packets[d])
		dst = binary.BigEndian.AppendUint64(dst, f.Bytes[d])
	}
	return dst
}

func endReason(r conntrack.Reason) byte {
	switch r {
	case conntrack.Idle, conntrack.HalfOpen:
		return endIdle
	case conntrack.Fin, conntrack.Rst:
		return endDetected
	}
	return endForced
}

// appendExhausted appends a record of exhaustedTemplate: which member has no port
// left, and where the last flow that got none wanted to go.
func appendExhausted(dst []byte, b *batch, e *gateway.Event) []byte {
	dst = append(appendMillis(dst, b.time(e.At)), natPortsExhausted)
	dst = append(appendAddr(dst, e.Backend), byte(e.Protocol))
	dst = appendPort(appendAddr(dst, e.Towards.Addr), e.Towards.Port)
	return binary.BigEndian.AppendUint64(dst, e.Count)
}

func appendMillis(dst []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(t.UnixMilli()))
}

func appendAddr(dst []byte, a packet.Addr) []byte {
	b := a.Netip().As4()
	return append(dst, b[:]...)
}

func appendPort(dst []byte, port uint16) []byte { return binary.BigEndian.AppendUint16(dst, port) }
