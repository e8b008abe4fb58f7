package packet_test

import (
	"net/netip"
	"testing"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

func TestAddr(t *testing.T) {
	for _, c := range []struct {
		in   netip.Addr
		want packet.Addr
		text string
	}{
		{netip.MustParseAddr("10.0.0.255"), 0x0a0000ff, "10.0.0.255"},
		{netip.MustParseAddr("::ffff:203.0.113.5"), 0xcb007105, "203.0.113.5"},
		{netip.MustParseAddr("255.255.255.255"), 0xffffffff, "255.255.255.255"},
		{netip.MustParseAddr("2001:db8::1"), 0, "0.0.0.0"},
		{netip.Addr{}, 0, "0.0.0.0"},
	} {
		got := packet.AddrFrom(c.in)
		if got != c.want || got.String() != c.text || got.Netip() != netip.MustParseAddr(c.text) {
			t.Errorf("%v: %#08x, %s, %v", c.in, uint32(got), got, got.Netip())
		}
	}
	if packettest.Addr("10.0.0.255")+1 != packettest.Addr("10.0.1.0") {
		t.Error("neighbouring addresses are not neighbouring numbers")
	}
}

func TestTuple(t *testing.T) {
	tuple := packettest.Tuple(packet.TCP, "10.0.0.10:40000", "198.51.100.7:443")
	if got := tuple.String(); got != "tcp 10.0.0.10:40000 > 198.51.100.7:443" {
		t.Error(got)
	}
	if got := tuple.Reverse(); got != packettest.Tuple(packet.TCP, "198.51.100.7:443", "10.0.0.10:40000") {
		t.Errorf("reverse is %v", got)
	}
	if tuple.Reverse().Reverse() != tuple {
		t.Error("twice reversed is another tuple")
	}
}

func TestProtocolString(t *testing.T) {
	for p, want := range map[packet.Protocol]string{
		packet.ICMP: "icmp", packet.TCP: "tcp", packet.UDP: "udp", 47: "proto-47",
	} {
		if p.String() != want {
			t.Errorf("%d: %s, want %s", uint8(p), p, want)
		}
	}
}
