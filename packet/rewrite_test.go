package packet_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// rewrite returns a copy of b translated to the tuple to.
func rewrite(t *testing.T, b []byte, to packet.Tuple, partial bool, hop packet.Hop) []byte {
	t.Helper()
	b = slices.Clone(b)
	p := decode(t, b)
	r := packet.NewRewrite(p.Tuple, to)
	r.Apply(b, &p, partial, hop)
	return b
}

func decode(t *testing.T, b []byte) (p packet.Parsed) {
	t.Helper()
	if fault := packet.Decode(b, &p); fault != packet.FaultNone {
		t.Fatalf("fault %d in %s", fault, packettest.Describe(b))
	}
	return p
}

var translations = []struct {
	name    string
	b       []byte
	to      packet.Tuple
	changes func(*packettest.View) // what a translation changes besides the TTL
}{
	{
		"source of TCP", segment, packettest.Tuple(packet.TCP, "203.0.113.5:1024", "198.51.100.7:443"),
		func(v *packettest.View) { v.Src = "203.0.113.5:1024" },
	},
	{
		"destination of TCP", segment, packettest.Tuple(packet.TCP, "10.0.0.10:40000", "10.0.0.11:8443"),
		func(v *packettest.View) { v.Dst = "10.0.0.11:8443" },
	},
	{
		"both ends, as a hairpin does", segment, packettest.Tuple(packet.TCP, "203.0.113.5:65023", "10.0.0.11:8443"),
		func(v *packettest.View) { v.Src, v.Dst = "203.0.113.5:65023", "10.0.0.11:8443" },
	},
	{
		"only the port", segment, packettest.Tuple(packet.TCP, "10.0.0.10:1", "198.51.100.7:443"),
		func(v *packettest.View) { v.Src = "10.0.0.10:1" },
	},
	{
		"nothing", segment, packettest.Tuple(packet.TCP, "10.0.0.10:40000", "198.51.100.7:443"),
		func(*packettest.View) {},
	},
	{
		"UDP behind IP options", datagram, packettest.Tuple(packet.UDP, "203.0.113.5:1024", "198.51.100.7:53"),
		func(v *packettest.View) { v.Src = "203.0.113.5:1024" },
	},
	{
		"UDP without checksum", unsummed, packettest.Tuple(packet.UDP, "203.0.113.5:1024", "198.51.100.7:53"),
		func(v *packettest.View) { v.Src = "203.0.113.5:1024" },
	},
	{
		"echo request", request, packettest.Tuple(packet.ICMP, "203.0.113.5:1024", "198.51.100.7"),
		func(v *packettest.View) { v.Src, v.Ident = "203.0.113.5", 1024 },
	},
	{
		"echo reply", reply, packettest.Tuple(packet.ICMP, "198.51.100.7", "10.0.0.10:77"),
		func(v *packettest.View) { v.Dst, v.Ident = "10.0.0.10", 77 },
	},
}

func TestRewrite(t *testing.T) {
	for _, c := range translations {
		for _, hop := range []packet.Hop{packet.KeepTTL, packet.TakeTTL} {
			want := packettest.Fields(t, c.b)
			c.changes(&want)
			if hop == packet.TakeTTL {
				want.TTL--
			}
			got := rewrite(t, c.b, c.to, false, hop)
			packettest.Check(t, got)
			if diff := cmp.Diff(want, packettest.Fields(t, got)); diff != "" {
				t.Errorf("%s: %s", c.name, diff)
			}
		}
	}
}

// TestRewritePartial translates what a sender with checksum offload hands over,
// and lets the device do its part afterwards.
func TestRewritePartial(t *testing.T) {
	for _, c := range translations {
		v := packettest.Fields(t, c.b)
		if v.Proto == packet.ICMP || v.NoChecksum {
			continue // no partial form
		}
		got := packettest.Complete(rewrite(t, packettest.Partial(c.b), c.to, true, packet.TakeTTL))
		packettest.Check(t, got)
		want := rewrite(t, c.b, c.to, false, packet.TakeTTL)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// TestRewriteThereAndBack translates a packet and its translation back.
func TestRewriteThereAndBack(t *testing.T) {
	for _, c := range translations {
		from := decode(t, c.b).Tuple
		there := rewrite(t, c.b, c.to, false, packet.KeepTTL)
		back := rewrite(t, there, from, false, packet.KeepTTL)
		if diff := cmp.Diff(c.b, back); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// TestRewriteLastHop: who wants to send time-exceeded must look before Apply.
func TestRewriteLastHop(t *testing.T) {
	b := packettest.UDP(packettest.Datagram{Src: "10.0.0.10:1", Dst: "10.0.0.11:2", IP: packettest.IP{TTL: 1}})
	got := rewrite(t, b, packettest.Tuple(packet.UDP, "10.0.0.10:1", "10.0.0.11:2"), false, packet.TakeTTL)
	packettest.Check(t, got)
	if v := packettest.Fields(t, got); v.TTL != 0 {
		t.Errorf("TTL is %d", v.TTL)
	}
}

// TestRewriteOfALaterFragment: only the IP header changes.
func TestRewriteOfALaterFragment(t *testing.T) {
	fragment := packettest.Fragments(datagram, 32)[1]
	to := packettest.Tuple(packet.UDP, "203.0.113.5", "198.51.100.7")
	got := rewrite(t, fragment, to, false, packet.TakeTTL)
	packettest.Check(t, got)
	want := packettest.Fields(t, fragment)
	want.Src, want.TTL = "203.0.113.5", 63
	if diff := cmp.Diff(want, packettest.Fields(t, got)); diff != "" {
		t.Error(diff)
	}
}

// TestRewriteFragments: the pieces translated one by one are the pieces of the
// packet translated.
func TestRewriteFragments(t *testing.T) {
	for _, c := range translations {
		mtu := 28 + int(c.b[0]&0xf)*4 - 20
		if c.to.Proto == packet.TCP {
			mtu = 52 // the first piece holds its header, with options
		}
		want := packettest.Fragments(rewrite(t, c.b, c.to, false, packet.TakeTTL), mtu)
		for i, piece := range packettest.Fragments(c.b, mtu) {
			got := slices.Clone(piece)
			p, whole := decode(t, got), decode(t, c.b)
			r := packet.NewRewrite(whole.Tuple, c.to)
			r.Apply(got, &p, false, packet.TakeTTL)
			if diff := cmp.Diff(want[i], got); diff != "" {
				t.Errorf("%s, piece %d: %s", c.name, i, diff)
			}
		}
	}
}
