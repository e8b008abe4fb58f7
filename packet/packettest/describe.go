package packettest

import (
	"fmt"
	"strings"

	"tidegate/packet"
)

// TCP flag bits that package packet has no use for (RFC 9293 §3.1).
const (
	flagURG = 1 << 5
	flagECE = 1 << 6
	flagCWR = 1 << 7
)

var flagNames = [8]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}

// Describe returns b on one line for a failure message, whatever b is:
// "tcp 10.0.0.10:40000 > 198.51.100.7:443 SYN seq 1000 ack 0 win 64240, ttl 64 id 0, 0 bytes".
func Describe(b []byte) string {
	v, err := view(b)
	if v.Src == "" {
		return fmt.Sprintf("%d bytes that are no packet: %v", len(b), err)
	}
	s := fmt.Sprintf("%v %s > %s%s, ttl %d id %d, %d bytes",
		v.Proto, v.Src, v.Dst, v.transport(), v.TTL, v.ID, len(v.Payload))
	if err != nil {
		s += ", " + err.Error()
	}
	return s
}

// transport is the part of the line that differs by protocol, with a space before it.
func (v *View) transport() string {
	switch {
	case v.MF || v.Offset != 0:
		return fmt.Sprintf(" fragment at %d, more %t", v.Offset, v.MF)
	case v.Proto == packet.TCP:
		return fmt.Sprintf(" %s seq %d ack %d win %d", flags(v.Flags), v.Seq, v.Ack, v.Window)
	case v.Proto == packet.UDP && v.NoChecksum:
		return " no checksum"
	case v.Proto == packet.ICMP:
		return fmt.Sprintf(" type %d code %d ident %d seq %d", v.Type, v.Code, v.Ident, v.EchoSeq)
	}
	return ""
}

// flags returns "SYN|ACK", or "none".
func flags(f uint8) string {
	var names []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, "|")
}
