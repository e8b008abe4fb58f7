package packet_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// TestICMPErrors checks both kinds about packets of each length that matters:
// none may be longer than 576 bytes (RFC 1812 §4.3.2.3).
func TestICMPErrors(t *testing.T) {
	from := packettest.Addr("203.0.113.5")
	for _, n := range []int{0, 1, 519, 520, 521, 1400} {
		orig := packettest.UDP(packettest.Datagram{
			Src: "10.0.0.10:5353", Dst: "198.51.100.7:53", Payload: strings.Repeat("x", n), IP: packettest.IP{ID: 5, TOS: 0xb9},
		})
		want := packettest.View{
			Src: "203.0.113.5", Dst: "10.0.0.10", Proto: packet.ICMP, TTL: 64, ID: 77, DF: true, TOS: 0xb8, // without ECN
			Payload: string(orig[:min(len(orig), 548)]),
		}
		b := make([]byte, packet.ICMPErrorLen(len(orig)))

		length := packet.PutTimeExceeded(b, from, 77, orig)
		want.Type = 11
		checkError(t, b, length, want)

		length = packet.PutUnreachable(b, from, packet.CodeAdminProhibited, 0, 77, orig)
		want.Type, want.Code = 3, 13
		checkError(t, b, length, want)

		length = packet.PutUnreachable(b, from, packet.CodeFragmentationNeeded, 1400, 77, orig)
		want.Code, want.EchoSeq = 4, 1400
		checkError(t, b, length, want)

		inner := packettest.Quoted(t, b)
		if inner.Src != "10.0.0.10:5353" || inner.Dst != "198.51.100.7:53" || inner.ID != 5 {
			t.Errorf("%d bytes: quoted %+v", n, inner)
		}
	}
}

func checkError(t *testing.T, b []byte, length int, want packettest.View) {
	t.Helper()
	packettest.Check(t, b)
	if diff := cmp.Diff(want, packettest.Fields(t, b)); diff != "" {
		t.Error(diff)
	}
	if length != len(b) || length > 576 {
		t.Errorf("length %d of %d", length, len(b))
	}
}

// TestICMPErrorInDirtyMemory writes into what a ring's last packet left.
func TestICMPErrorInDirtyMemory(t *testing.T) {
	clean, dirty := make([]byte, 600), slices.Repeat([]byte{0xaa}, 600)
	for _, put := range []func(b []byte) int{
		func(b []byte) int { return packet.PutTimeExceeded(b, 1, 2, segment) },
		func(b []byte) int { return packet.PutUnreachable(b, 1, packet.CodeAdminProhibited, 0, 2, segment) },
	} {
		n := put(clean)
		if put(dirty) != n || !slices.Equal(clean[:n], dirty[:n]) || dirty[n] != 0xaa {
			t.Errorf("clean % x\ndirty % x", clean[:n], dirty[:n+1])
		}
	}
}

func TestEchoReply(t *testing.T) {
	for _, ip := range []packettest.IP{
		{TTL: 1, ID: 77, DF: true, TOS: 0x10},
		{Options: []packettest.Option{packettest.RouterAlert}},
	} {
		b := packettest.EchoRequest(packettest.Echo{
			Src: "198.51.100.7", Dst: "203.0.113.5", Ident: 77, Seq: 3, Payload: "odd", IP: ip,
		})
		want := packettest.Fields(t, b)
		want.Src, want.Dst, want.Type, want.TTL = want.Dst, want.Src, 0, 64

		p := decode(t, b)
		packet.EchoReply(b, &p)
		packettest.Check(t, b)
		if diff := cmp.Diff(want, packettest.Fields(t, b)); diff != "" {
			t.Error(diff)
		}
		if got := decode(t, b); got.Kind != packet.KindEchoReply || got.Tuple != p.Reverse() {
			t.Errorf("the reply's tuple is %v, the request's %v", got.Tuple, p.Tuple)
		}
	}
}

// TestEchoReplyKeepsDamage: who answers must not make a broken request whole.
func TestEchoReplyKeepsDamage(t *testing.T) {
	b := slices.Clone(request)
	b[len(b)-1] ^= 1
	p := decode(t, b)
	packet.EchoReply(b, &p)
	if packettest.Verify(b) == nil {
		t.Error("the damage is gone")
	}
}
