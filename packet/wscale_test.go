package packet_test

import (
	"testing"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

type options = []packettest.Option

var shift7 = packettest.WScale(7)

var scales = []struct {
	name string
	opts options
	want int8
}{
	{"none", nil, -1},
	{"alone", options{shift7}, 7},
	{"shift 0", options{packettest.WScale(0)}, 0},
	{"shift 14", options{packettest.WScale(14)}, 14},
	{"shift 15 counts as 14", options{packettest.WScale(15)}, 14},
	{"shift 255 counts as 14", options{packettest.WScale(255)}, 14},
	{"as Linux sends it", options{packettest.MSS(1460), {4, 2}, packettest.Timestamps(1, 0), packettest.NOP, shift7}, 7},
	{"as Windows sends it", options{packettest.MSS(1460), packettest.NOP, shift7, packettest.NOP, packettest.NOP, {4, 2}}, 7},
	{"without it", options{packettest.MSS(1460), {4, 2}}, -1},
	{"at the very end", options{make7(packettest.NOP), shift7[:2], {9}}, 9},
	{"the last of two, as Linux and the BSDs have it", options{packettest.WScale(2), shift7}, 7},
	{"after an unknown option", options{{253, 4, 1, 2}, shift7}, 7},
	{"after an option without value", options{{200, 2}, shift7}, 7},
	{"after the end of options", options{{0}, shift7}, -1},
	{"length 2", options{{3, 2}, {1, 1}}, -1},
	{"length 4, then a right one", options{{3, 4, 9, 9}, shift7}, 7},
	{"length 0 after an option", options{{253, 0}, shift7}, -1},
	{"length 1 after an option", options{{253, 1}, shift7}, -1},
	{"length past the end", options{{253, 12}, shift7}, -1},
	{"length 255", options{{253, 255}, shift7}, -1},
	{"kind in the last byte", options{make7(packettest.NOP), {3}}, -1},
	{"kind and length at the end", options{make7(packettest.NOP)[:6], {3, 3}}, -1},
	{"in another option's value", options{{253, 5, 3, 3, 7}}, -1},
}

// TestWindowScale puts the options, right or wrong, into a SYN.
func TestWindowScale(t *testing.T) {
	for _, c := range scales {
		b := packettest.TCP(packettest.Segment{
			Src: "10.0.0.10:40000", Dst: "198.51.100.7:443", Flags: packet.SYN, Options: c.opts, Payload: "\x03\x03\x05",
		})
		var p packet.Parsed
		if fault := packet.Decode(b, &p); fault != packet.FaultNone || p.WScale != c.want || p.Payload != 3 {
			t.Errorf("%s: fault %d, scale %d, want %d", c.name, fault, p.WScale, c.want)
		}
	}
}

// make7 repeats a one-byte option seven times.
func make7(o packettest.Option) (seven packettest.Option) {
	for range 7 {
		seven = append(seven, o...)
	}
	return seven
}

func TestWindowScaleOnlyOnSYN(t *testing.T) {
	for flags, want := range map[uint8]int8{
		packet.SYN: 7, packet.SYN | packet.ACK: 7, packet.ACK: -1, packet.RST | packet.ACK: -1, packet.FIN: -1,
	} {
		b := packettest.TCP(packettest.Segment{
			Src: "10.0.0.10:40000", Dst: "198.51.100.7:443", Flags: flags,
			Options: []packettest.Option{packettest.WScale(7)},
		})
		var p packet.Parsed
		if packet.Decode(b, &p); p.WScale != want {
			t.Errorf("flags %#x: scale %d, want %d", flags, p.WScale, want)
		}
	}
}
