package packet_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

func TestPutSegment(t *testing.T) {
	for _, s := range []packet.Segment{
		{
			Tuple: packettest.Tuple(packet.TCP, "198.51.100.7:443", "10.0.0.10:40000"),
			Seq:   0xfffffff0, Ack: 2000, Flags: packet.RST | packet.ACK, ID: 77,
		},
		{Tuple: packettest.Tuple(packet.TCP, "255.255.255.255:65535", "255.255.255.255:65535"), Seq: 0xffffffff, Ack: 0xffffffff, Flags: 0xff, ID: 0xffff},
		{Tuple: packettest.Tuple(packet.TCP, "0.0.0.0:0", "0.0.0.0:0")},
	} {
		dirty := make([]byte, packet.SegmentLen+1)
		for i := range dirty {
			dirty[i] = 0xaa
		}
		packet.PutSegment(dirty, &s)
		b := dirty[:packet.SegmentLen]
		packettest.Check(t, b)
		want := packettest.View{
			Src: s.Source().String(), Dst: s.Destination().String(), Proto: packet.TCP,
			Seq: s.Seq, Ack: s.Ack, Flags: s.Flags, ID: s.ID, TTL: 64, DF: true,
		}
		if diff := cmp.Diff(want, packettest.Fields(t, b)); diff != "" {
			t.Error(diff)
		}
		if dirty[packet.SegmentLen] != 0xaa {
			t.Error("wrote past the segment")
		}
	}
}

// TestResetFor has the two cases of RFC 9293 §3.10.7.1: with ACK the reset's
// sequence number is what the segment acknowledges, without it the reset
// acknowledges the segment.
func TestResetFor(t *testing.T) {
	back := packettest.Tuple(packet.TCP, "198.51.100.7:443", "10.0.0.10:40000")
	const rstAck = packet.RST | packet.ACK
	for _, c := range []struct {
		name    string
		flags   uint8
		seq     uint32
		payload string
		want    packet.Segment
	}{
		{"data", packet.ACK | packet.PSH, 100, "hello", packet.Segment{Tuple: back, Seq: 2000, Flags: packet.RST}},
		{"bare ACK", packet.ACK, 100, "", packet.Segment{Tuple: back, Seq: 2000, Flags: packet.RST}},
		{"SYN and ACK", packet.SYN | packet.ACK, 100, "", packet.Segment{Tuple: back, Seq: 2000, Flags: packet.RST}},
		{"FIN and ACK", packet.FIN | packet.ACK, 100, "", packet.Segment{Tuple: back, Seq: 2000, Flags: packet.RST}},
		{"SYN", packet.SYN, 100, "", packet.Segment{Tuple: back, Ack: 101, Flags: rstAck}},
		{"SYN with data", packet.SYN, 100, "hello", packet.Segment{Tuple: back, Ack: 106, Flags: rstAck}},
		{"FIN without ACK", packet.FIN, 100, "hello", packet.Segment{Tuple: back, Ack: 106, Flags: rstAck}},
		{"no flags", 0, 100, "", packet.Segment{Tuple: back, Ack: 100, Flags: rstAck}},
		{"across the end of the sequence space", packet.SYN, 0xfffffffe, "hello", packet.Segment{Tuple: back, Ack: 4, Flags: rstAck}},
	} {
		p := decode(t, packettest.TCP(packettest.Segment{
			Src: "10.0.0.10:40000", Dst: "198.51.100.7:443",
			Seq: c.seq, Ack: 2000, Flags: c.flags, Payload: c.payload,
		}))
		if diff := cmp.Diff(c.want, packet.ResetFor(&p)); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}
