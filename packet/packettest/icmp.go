package packettest

import (
	"encoding/binary"

	"github.com/google/gopacket/layers"

	"tidegate/packet"
)

// Echo is an ICMP echo request or reply.
type Echo struct {
	Src, Dst string // "10.0.0.10"
	Ident    uint16 // what the gateway translates
	Seq      uint16
	Payload  string
	IP
}

// EchoRequest builds e as a request.
func EchoRequest(e Echo) []byte { return e.build(layers.ICMPv4TypeEchoRequest) }

// EchoReply builds e as a reply.
func EchoReply(e Echo) []byte { return e.build(layers.ICMPv4TypeEchoReply) }

func (e Echo) build(typ uint8) []byte {
	ip := e.layer(endpoint(e.Src), endpoint(e.Dst), packet.ICMP)
	return serialize(ip, e.Payload, &layers.ICMPv4{
		TypeCode: layers.CreateICMPv4TypeCode(typ, 0), Id: e.Ident, Seq: e.Seq,
	})
}

// Error is an ICMP error about another packet, or by its Type any other message.
type Error struct {
	Src, Dst   string // "192.0.2.1"; Dst is the source of Quote if empty
	Type, Code uint8
	MTU        uint16 // bytes, in fragmentation-needed (RFC 1191 §4)
	Quote      []byte // the packet, or as much of it as the error shall quote
	IP
}

// ICMPError builds e.
func ICMPError(e Error) []byte {
	if e.Dst == "" {
		e.Dst = packet.Addr(binary.BigEndian.Uint32(e.Quote[12:])).String()
	}
	ip := e.layer(endpoint(e.Src), endpoint(e.Dst), packet.ICMP)
	return serialize(ip, string(e.Quote), &layers.ICMPv4{
		TypeCode: layers.CreateICMPv4TypeCode(e.Type, e.Code), Seq: e.MTU,
	})
}
