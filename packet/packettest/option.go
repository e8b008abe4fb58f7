package packettest

import (
	"encoding/binary"

	"github.com/google/gopacket/layers"
)

// Option is one TCP or IPv4 option as on the wire: kind, length, value. What a
// TCP option says of its length is not checked, so that it can lie.
type Option []byte

// NOP is the one-byte filler of both protocols.
var NOP = Option{1}

// RouterAlert is an IPv4 option that real traffic carries (RFC 2113).
var RouterAlert = Option{148, 4, 0, 0}

// MSS is the TCP maximum segment size option, in bytes (RFC 9293 §3.7.1).
func MSS(n uint16) Option { return binary.BigEndian.AppendUint16(Option{2, 4}, n) }

// WScale is the TCP window scale option (RFC 7323 §2.2).
func WScale(shift uint8) Option { return Option{3, 3, shift} }

// Timestamps is the TCP timestamps option (RFC 7323 §3.2).
func Timestamps(value, echo uint32) Option {
	o := binary.BigEndian.AppendUint32(Option{8, 10}, value)
	return binary.BigEndian.AppendUint32(o, echo)
}

// join puts options behind each other and pads with end-of-list.
func join(opts []Option) []byte {
	var b []byte
	for _, o := range opts {
		b = append(b, o...)
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func (o Option) ipv4() layers.IPv4Option {
	if len(o) == 1 {
		return layers.IPv4Option{OptionType: o[0]}
	}
	return layers.IPv4Option{OptionType: o[0], OptionLength: uint8(len(o)), OptionData: o[2:]}
}
