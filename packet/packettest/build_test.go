package packettest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate/packet"
)

var built = []struct {
	name string
	b    []byte
	want View
}{
	{
		name: "TCP",
		b: TCP(Segment{
			Src: "10.0.0.10:40000", Dst: "198.51.100.7:443",
			Seq: 1000, Ack: 2000, Flags: packet.SYN | packet.ACK | flagECE, Window: 512,
			Options: []Option{MSS(1460), NOP, WScale(7), Timestamps(1, 2)},
			Payload: "hello", IP: IP{TTL: 7, TOS: 0x10, ID: 99, DF: true},
		}),
		want: View{
			Src: "10.0.0.10:40000", Dst: "198.51.100.7:443", Proto: packet.TCP,
			Seq: 1000, Ack: 2000, Flags: packet.SYN | packet.ACK | flagECE, Window: 512,
			Options: "\x02\x04\x05\xb4\x01\x03\x03\x07\x08\x0a\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00",
			Payload: "hello", TTL: 7, TOS: 0x10, ID: 99, DF: true,
		},
	},
	{
		name: "TCP with defaults",
		b:    TCP(Segment{Src: "10.0.0.10:1", Dst: "10.0.0.11:2"}),
		want: View{Src: "10.0.0.10:1", Dst: "10.0.0.11:2", Proto: packet.TCP, Window: 64240, TTL: 64},
	},
	{
		name: "TCP with a closed window",
		b:    TCP(Segment{Src: "10.0.0.10:1", Dst: "10.0.0.11:2", ZeroWindow: true}),
		want: View{Src: "10.0.0.10:1", Dst: "10.0.0.11:2", Proto: packet.TCP, TTL: 64},
	},
	{
		name: "UDP",
		b:    UDP(Datagram{Src: "10.0.0.10:5353", Dst: "198.51.100.7:53", Payload: "odd"}),
		want: View{Src: "10.0.0.10:5353", Dst: "198.51.100.7:53", Proto: packet.UDP, TTL: 64, Payload: "odd"},
	},
	{
		name: "UDP without checksum",
		b:    UDP(Datagram{Src: "10.0.0.10:5353", Dst: "198.51.100.7:53", NoChecksum: true}),
		want: View{Src: "10.0.0.10:5353", Dst: "198.51.100.7:53", Proto: packet.UDP, TTL: 64, NoChecksum: true},
	},
	{
		name: "echo request with an IP option",
		b: EchoRequest(Echo{
			Src: "10.0.0.10", Dst: "198.51.100.7", Ident: 77, Seq: 3, Payload: "ping",
			IP: IP{Options: []Option{RouterAlert, NOP}},
		}),
		want: View{
			Src: "10.0.0.10", Dst: "198.51.100.7", Proto: packet.ICMP, TTL: 64,
			IPOptions: "\x94\x04\x00\x00\x01\x00\x00\x00", Type: 8, Ident: 77, EchoSeq: 3, Payload: "ping",
		},
	},
	{
		name: "echo reply",
		b:    EchoReply(Echo{Src: "10.0.0.10", Dst: "198.51.100.7", Ident: 77}),
		want: View{Src: "10.0.0.10", Dst: "198.51.100.7", Proto: packet.ICMP, TTL: 64, Ident: 77},
	},
	{
		name: "another protocol",
		b:    IPv4(Packet{Src: "10.0.0.10", Dst: "198.51.100.7", Proto: 47, Payload: "gre"}),
		want: View{Src: "10.0.0.10", Dst: "198.51.100.7", Proto: 47, TTL: 64, Payload: "gre"},
	},
}

func TestBuilders(t *testing.T) {
	for _, c := range built {
		t.Run(c.name, func(t *testing.T) {
			Check(t, c.b)
			if diff := cmp.Diff(c.want, Fields(t, c.b)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestICMPError(t *testing.T) {
	syn := TCP(Segment{Src: "10.0.0.10:40000", Dst: "198.51.100.7:443", Seq: 1000, Flags: packet.SYN})
	b := ICMPError(Error{Src: "192.0.2.1", Type: 3, Code: 4, MTU: 1400, Quote: syn[:28]})
	Check(t, b)
	want := View{
		Src: "192.0.2.1", Dst: "10.0.0.10", Proto: packet.ICMP, TTL: 64,
		Type: 3, Code: 4, EchoSeq: 1400, Payload: string(syn[:28]),
	}
	if diff := cmp.Diff(want, Fields(t, b)); diff != "" {
		t.Error(diff)
	}
	quoted := Quoted(t, b)
	if quoted.Src != "10.0.0.10:40000" || quoted.Dst != "198.51.100.7:443" || quoted.Seq != 1000 {
		t.Errorf("quoted packet: %+v", quoted)
	}
}

// TestUDPComputedZero searches the payload whose sum comes out as zero.
func TestUDPComputedZero(t *testing.T) {
	d := Datagram{Src: "10.0.0.10:5353", Dst: "198.51.100.7:53", Payload: "\x00\x00"}
	b := UDP(d)
	d.Payload = string(b[26:28]) // the checksum of the rest makes the rest add up to zero
	b = UDP(d)
	Check(t, b)
	if b[26] != 0xff || b[27] != 0xff {
		t.Errorf("checksum field is % x, want ff ff: %s", b[26:28], Describe(b))
	}
}

func TestMistakesPanic(t *testing.T) {
	for name, build := range map[string]func(){
		"address":  func() { UDP(Datagram{Src: "nowhere", Dst: "10.0.0.1:1"}) },
		"IPv6":     func() { UDP(Datagram{Src: "[2001:db8::1]:1", Dst: "10.0.0.1:1"}) },
		"too long": func() { UDP(Datagram{Src: "10.0.0.1:1", Dst: "10.0.0.1:1", Payload: strings.Repeat("x", 65508)}) },
		"MAC":      func() { Ethernet(built[0].b, Link{Src: "x"}) },
		"partial":  func() { Partial(EchoReply(Echo{Src: "10.0.0.10", Dst: "10.0.0.11"})) },
		"MTU":      func() { Fragments(built[0].b, 27) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("built without complaint")
				}
			}()
			build()
		})
	}
}
