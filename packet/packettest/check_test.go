package packettest

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"tidegate/packet"
)

// TestSlowSum takes its numbers from elsewhere.
func TestSlowSum(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      uint16
	}{
		{"RFC 1071 section 3", "0001f203f4f5f6f7", 0xddf2},
		{"odd length", "0001f203f4f5f6f701", 0xdef2},
		{"nothing", "", 0},
		{"zeros", "00000000", 0},
		{"negative zero", "ffffffff", 0xffff},
		{"captured IP header with its checksum", "450000730000400040 11b861c0a80001c0a800c7", 0xffff},
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(c.hex, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := slowSum(b); got != c.want {
			t.Errorf("%s: %#04x, want %#04x", c.name, got, c.want)
		}
	}
}

// TestVerifySeesEveryBit turns each bit of packets that a checksum covers whole.
func TestVerifySeesEveryBit(t *testing.T) {
	for _, c := range built {
		if c.want.NoChecksum || c.want.Proto == 47 {
			continue
		}
		for i := range len(c.b) * 8 {
			b := slices.Clone(c.b)
			b[i/8] ^= 1 << (i % 8)
			if Verify(b) == nil {
				t.Errorf("%s: bit %d of byte %d turned and not seen: %s", c.name, i%8, i/8, Describe(b))
			}
		}
	}
}

var (
	udp = UDP(Datagram{Src: "10.0.0.10:5353", Dst: "198.51.100.7:53", Payload: "question"})
	tcp = TCP(Segment{Src: "10.0.0.10:40000", Dst: "198.51.100.7:443", Flags: packet.SYN})
)

func edit(b []byte, at int, v byte) []byte {
	b = slices.Clone(b)
	b[at] = v
	Fix(b)
	return b
}

func quote(b []byte) []byte {
	return ICMPError(Error{Src: "192.0.2.1", Dst: "10.0.0.10", Type: 11, Quote: b})
}

// broken takes one from the TTL and forgets the checksum.
func broken(b []byte) []byte {
	b = slices.Clone(b)
	b[8]--
	return b
}

var verified = []struct {
	name string
	b    []byte
	want string // part of the error; "" means no error
}{
	{"link padding", append(slices.Clone(udp), 0), "total length"},
	{"cut short", udp[:len(udp)-1], "total length"},
	{"empty", nil, "IP header"},
	{"version", edit(udp, 0, 0x65), "version"},
	{"TCP data offset too small", edit(tcp, 32, 4<<4), "TCP header"},
	{"TCP data offset too large", edit(tcp, 32, 6<<4), "TCP header"},
	{"UDP length too small", edit(udp, 25, 7), "UDP header"},
	{"UDP length short of the datagram", edit(udp, 25, 15), "UDP length"},
	{"UDP length past the datagram", edit(udp, 25, 17), "UDP length"},
	{"partial checksum", Partial(udp), "UDP checksum"},
	{"quote", quote(tcp[:28]), ""},
	{"quote too short", quote(tcp[:27]), "less than 8 bytes"},
	{"quote with a wrong header checksum", quote(broken(tcp)), "quoted packet"},
	{"quote that is no packet", quote([]byte("x")), "quoted packet"},
	{"fragment", Fragments(udp, 28)[0], ""},
	{"last fragment", Fragments(udp, 28)[1], ""},
}

func TestVerify(t *testing.T) {
	for _, c := range verified {
		err := Verify(c.b)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error %v, want one about %q", c.name, err, c.want)
		}
	}
}

func TestFixRestores(t *testing.T) {
	for _, c := range built {
		b := slices.Clone(c.b)
		b[ipSumAt] ^= 0x55
		if _, field := sumField(b); field != nil && !c.want.NoChecksum {
			field[0] ^= 0x55
		}
		if Fix(b); !bytes.Equal(b, c.b) {
			t.Errorf("%s: % x, want % x", c.name, b, c.b)
		}
	}
}

func TestDescribe(t *testing.T) {
	syn := TCP(Segment{Src: "10.0.0.10:40000", Dst: "198.51.100.7:443", Seq: 1000, Flags: packet.SYN | packet.ACK})
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{syn, "tcp 10.0.0.10:40000 > 198.51.100.7:443 SYN|ACK seq 1000 ack 0 win 64240, ttl 64 id 0, 0 bytes"},
		{built[4].b, "udp 10.0.0.10:5353 > 198.51.100.7:53 no checksum, ttl 64 id 0, 0 bytes"},
		{built[6].b, "icmp 10.0.0.10 > 198.51.100.7 type 0 code 0 ident 77 seq 0, ttl 64 id 0, 0 bytes"},
		{built[7].b, "proto-47 10.0.0.10 > 198.51.100.7, ttl 64 id 0, 3 bytes"},
		{Fragments(syn, 28)[1], "tcp 10.0.0.10 > 198.51.100.7 fragment at 8, more true, ttl 64 id 0, 8 bytes"},
	} {
		if got := Describe(c.b); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	for n := range syn { // no beginning of a packet makes it panic
		if !strings.Contains(Describe(syn[:n]), "bytes") {
			t.Errorf("%d bytes: %s", n, Describe(syn[:n]))
		}
	}
}

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestCheckFails(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want bool
	}{{tcp, false}, {broken(tcp), true}, {nil, true}} {
		r := &recorder{TB: t}
		if Check(r, c.b); r.failed != c.want {
			t.Errorf("failed %t, want %t: %s", r.failed, c.want, Describe(c.b))
		}
	}
}
