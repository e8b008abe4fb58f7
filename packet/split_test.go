package packet_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// pieces cuts b as the gateway does.
func pieces(b []byte, p *packet.Parsed, mtu int) (all [][]byte) {
	for at := 0; at < p.Total-p.L4; {
		dst := bytes.Repeat([]byte{0xee}, mtu)
		n, taken := packet.PutFragment(dst, b, p, at)
		all = append(all, dst[:n])
		at += taken
	}
	return all
}

// copied are options of which some go into every fragment, and one that fills the
// header up does not.
var copied = []packettest.Option{packettest.RouterAlert, packettest.NOP, {7, 7, 4, 0, 0, 0, 0}, {130, 5, 1, 2, 3}}

func TestPutFragment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := rapid.SampledFrom([][]packettest.Option{nil, {packettest.RouterAlert}, {packettest.NOP}, copied, slices.Repeat([]packettest.Option{packettest.NOP}, 40)}).Draw(t, "options")
		whole := packettest.UDP(packettest.Datagram{
			Src: "10.0.0.10:1", Dst: "10.0.0.11:2", Payload: strings.Repeat("tidegate", 1200)[:rapid.IntRange(1, 9600).Draw(t, "payload")],
			IP: packettest.IP{ID: 77, TOS: 4, Options: opts},
		})
		var p packet.Parsed
		packet.Decode(whole, &p)
		mtu := rapid.IntRange(68, 9700).Draw(t, "mtu")
		first := pieces(whole, &p, mtu)
		check(t, first, mtu, true)
		var all [][]byte
		smaller := rapid.IntRange(68, 9700).Draw(t, "smaller mtu")
		for _, piece := range first {
			if fault := packet.Decode(piece, &p); fault != packet.FaultNone {
				t.Fatalf("fault %d in a piece", fault)
			}
			all = append(all, pieces(piece, &p, smaller)...)
		}
		check(t, all, smaller, false)
		for _, set := range [][][]byte{first, all} {
			if got, err := packettest.Reassemble(set); err != nil || !bytes.Equal(got, whole) {
				t.Fatalf("%v: %d pieces make % x, want % x", err, len(set), got, whole)
			}
		}
	})
}

// check wants pieces that a link takes; full: and no more of them than need be.
func check(t *rapid.T, all [][]byte, mtu int, full bool) {
	for i, b := range all {
		if err := packettest.Verify(b); err != nil || len(b) > mtu {
			t.Fatalf("piece %d has %d bytes: %v", i, len(b), err)
		}
		hl := int(b[0]&0xf) * 4
		if room := (mtu - hl) &^ 7; full && i < len(all)-1 && len(b)-hl != room {
			t.Fatalf("piece %d carries %d bytes, there is room for %d", i, len(b)-hl, room)
		}
		if b[6]&0x20 != 0 && (len(b)-hl)%8 != 0 {
			t.Fatalf("piece %d of %d bytes is not the last", i, len(b)-hl)
		}
	}
}

// TestPutFragmentOptions: the first piece carries all options, the others those with
// the copied flag (RFC 791 §3.1).
func TestPutFragmentOptions(t *testing.T) {
	b := packettest.UDP(packettest.Datagram{Src: "10.0.0.10:1", Dst: "10.0.0.11:2", Payload: strings.Repeat("x", 100), IP: packettest.IP{Options: copied}})
	p := decode(t, b)
	for i, piece := range pieces(b, &p, 68) {
		got := packettest.Fields(t, piece).IPOptions
		want := "\x94\x04\x00\x00\x82\x05\x01\x02\x03\x00\x00\x00"
		if i == 0 {
			want = packettest.Fields(t, b).IPOptions
		}
		if got != want {
			t.Errorf("piece %d has the options % x, want % x", i, got, want)
		}
	}
}

// TestPutFragmentOptionsThatLie: they can't be copied, and harm nobody.
func TestPutFragmentOptionsThatLie(t *testing.T) {
	for _, bad := range []byte{0, 1, 50, 255} {
		b := packettest.UDP(packettest.Datagram{Src: "10.0.0.10:1", Dst: "10.0.0.11:2", Payload: strings.Repeat("x", 100), IP: packettest.IP{Options: copied}})
		b = edit(b, 21, bad)
		p := decode(t, b)
		for i, piece := range pieces(b, &p, 68) {
			if i == 0 {
				continue // with the options as they came
			}
			packettest.Check(t, piece)
			if v := packettest.Fields(t, piece); v.IPOptions != "" {
				t.Errorf("length %d: piece %d has the options % x", bad, i, v.IPOptions)
			}
		}
	}
}

// TestPutFragmentFlags: who may cut a packet up need not be told not to again.
func TestPutFragmentFlags(t *testing.T) {
	b := edit(packettest.UDP(packettest.Datagram{Src: "10.0.0.10:1", Dst: "10.0.0.11:2", Payload: strings.Repeat("x", 100)}), 6, 0xc0)
	p := decode(t, b)
	for i, piece := range pieces(b, &p, 68) {
		if flags := piece[6] & 0xc0; flags != 0 {
			t.Errorf("piece %d has the flags %#x", i, flags)
		}
	}
}

func TestCompleteChecksum(t *testing.T) {
	udp := packettest.UDP(packettest.Datagram{Src: "10.0.0.10:1", Dst: "10.0.0.11:2", Payload: "odd"})
	for name, b := range map[string][]byte{"TCP": segment, "UDP": datagram, "odd": udp, "zero": zeroSummed()} {
		got := packettest.Partial(b)
		p := decode(t, got)
		packet.CompleteChecksum(got, &p)
		if !bytes.Equal(got, b) {
			t.Errorf("%s: % x\nwant % x", name, got, b)
		}
	}
}
