package packettest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Check fails the test unless b is a packet without fault: see Verify.
func Check(t testing.TB, b []byte) {
	t.Helper()
	if err := Verify(b); err != nil {
		t.Errorf("%v\n%s\n%s", err, Describe(b), hex.Dump(b))
	}
}

// Verify returns the first length or checksum of b that is wrong: of the IP
// header, of TCP, UDP or ICMP, and of the IP header that an ICMP error quotes. b
// must end where the packet does. What a fragment carries is not looked at.
func Verify(b []byte) error {
	ip, err := verifyIP(b)
	if err != nil {
		return err
	}
	if total := int(b[2])<<8 | int(b[3]); total != len(b) {
		return fmt.Errorf("packettest: IP total length is %d, the packet has %d bytes", total, len(b))
	}
	if isFragment(ip) {
		return nil
	}
	switch ip.Protocol {
	case protoTCP:
		return verifyTCP(b, ip.Payload)
	case protoUDP:
		return verifyUDP(b, ip.Payload)
	case protoICMP:
		return verifyICMP(ip.Payload)
	}
	return nil
}

// verifyIP looks at the header only, as b may be a quote and end early.
func verifyIP(b []byte) (*layers.IPv4, error) {
	var ip layers.IPv4
	if err := ip.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
		return nil, fmt.Errorf("packettest: IP header: %w", err)
	}
	if ip.Version != 4 {
		return nil, fmt.Errorf("packettest: IP version is %d", ip.Version)
	}
	return &ip, wantSum("IP header", slowSum(ip.Contents))
}

func verifyTCP(b, l4 []byte) error {
	var tcp layers.TCP
	if err := tcp.DecodeFromBytes(l4, gopacket.NilDecodeFeedback); err != nil {
		return fmt.Errorf("packettest: TCP header: %w", err)
	}
	return wantSum("TCP", slowSum(pseudoHeader(b, len(l4)), l4))
}

// verifyUDP takes a zero checksum for one that the sender did not make;
// View.NoChecksum tells a test so.
func verifyUDP(b, l4 []byte) error {
	var udp layers.UDP
	if err := udp.DecodeFromBytes(l4, gopacket.NilDecodeFeedback); err != nil {
		return fmt.Errorf("packettest: UDP header: %w", err)
	}
	if int(udp.Length) != len(l4) {
		return fmt.Errorf("packettest: UDP length is %d, the datagram has %d bytes", udp.Length, len(l4))
	}
	if udp.Checksum == 0 {
		return nil
	}
	return wantSum("UDP", slowSum(pseudoHeader(b, len(l4)), l4))
}

func verifyICMP(l4 []byte) error {
	var icmp layers.ICMPv4
	if err := icmp.DecodeFromBytes(l4, gopacket.NilDecodeFeedback); err != nil {
		return fmt.Errorf("packettest: ICMP header: %w", err)
	}
	if err := wantSum("ICMP", slowSum(l4)); err != nil {
		return err
	}
	if !quotes(&icmp) {
		return nil
	}
	return verifyQuote(icmp.Payload)
}

// verifyQuote wants a whole IP header and 8 bytes, or all there were (RFC 792).
func verifyQuote(b []byte) error {
	ip, err := verifyIP(b)
	if err != nil {
		return fmt.Errorf("packettest: quoted packet: %w", err)
	}
	if len(ip.Payload) < min(8, int(ip.Length)-len(ip.Contents)) {
		return errors.New("packettest: quoted packet: less than 8 bytes follow its IP header")
	}
	return nil
}

// quotes tells whether the message is an error: those of RFC 792 that name a packet.
func quotes(icmp *layers.ICMPv4) bool {
	switch icmp.TypeCode.Type() {
	case 3, 4, 5, 11, 12:
		return true
	}
	return false
}

func isFragment(ip *layers.IPv4) bool {
	return ip.FragOffset != 0 || ip.Flags&layers.IPv4MoreFragments != 0
}

func wantSum(of string, sum uint16) error {
	if sum != 0xffff {
		return fmt.Errorf("packettest: %s checksum is wrong: all adds up to %#04x, not 0xffff", of, sum)
	}
	return nil
}
