package nexthop

import (
	"encoding/binary"
	"maps"
	"testing"

	"golang.org/x/sys/unix"

	"tidegate/packet"
)

// The counters of the guard on the outside, as dropped names them.
const (
	forward  = "outside: only the gateway forwards"
	whole    = "whole: wholly the gateway's"
	snat     = "outbound: SNAT ports"
	inbound  = "inbound: ports of inbound rules"
	echo     = "inbound: the gateway answers echo"
	laterOut = "outbound: fragments of translated flows"
	laterIn  = "inbound: fragments of translated flows"
	passes   = ""
)

// decision is a frame and the counter that it moves.
type decision struct {
	what  string
	frame []byte
	want  string
}

// decisions holds one frame for each that the guard takes, from the world to us.
func decisions(w *wire, us mac) []decision {
	return []decision{
		{"foreign", w.ip(us, "8.8.8.8", packet.UDP, 0), forward},
		{"foreign, fragment", w.ip(us, "8.8.8.8", packet.UDP, 100), forward},
		{"frontend that is not carried", w.ip(us, "203.0.113.66", packet.TCP, 0, ports(5000)...), forward},
		{"other address of the host", w.ip(us, "203.0.113.1", packet.TCP, 0, ports(5000)...), passes},
		{"address of the other side", w.ip(us, "10.0.0.1", packet.TCP, 0, ports(5000)...), passes},
		{"limited broadcast", w.ip(broadcast, "255.255.255.255", packet.UDP, 0, ports(5000)...), passes},
		{"subnet broadcast", w.ip(broadcast, "203.0.113.255", packet.UDP, 0, ports(5000)...), passes},
		{"multicast", w.ip(mac{1, 0, 0x5e, 0, 0, 1}, "224.0.0.1", packet.UDP, 0, ports(5000)...), passes},
		{"SNAT port", w.ip(us, carriedFrontend, packet.TCP, 0, ports(1024)...), snat},
		{"last SNAT port", w.ip(us, carriedFrontend, packet.UDP, 0, ports(65023)...), snat},
		{"below", w.ip(us, carriedFrontend, packet.UDP, 0, ports(1023)...), passes},
		{"above", w.ip(us, carriedFrontend, packet.TCP, 0, ports(65024)...), passes},
		{"first fragment", w.ip(us, carriedFrontend, packet.UDP, 0x2000, ports(1024)...), snat},
		{"later fragment", w.ip(us, carriedFrontend, packet.UDP, 0x2001, ports(22)...), laterOut},
		{"later fragment, inbound only", w.ip(us, "203.0.113.6", packet.UDP, 1, ports(22)...), laterIn},
		{"in a prefix", w.ip(us, "203.0.113.65", packet.TCP, 0, ports(2000)...), snat},
		{"inbound rule", w.ip(us, carriedFrontend, packet.TCP, 0, ports(443)...), inbound},
		{"its other protocol", w.ip(us, carriedFrontend, packet.UDP, 0, ports(443)...), passes},
		{"range", w.ip(us, carriedFrontend, packet.UDP, 0, ports(510)...), inbound},
		{"beyond the range", w.ip(us, carriedFrontend, packet.UDP, 0, ports(511)...), passes},
		{"inbound only", w.ip(us, "203.0.113.6", packet.TCP, 0, ports(2222)...), inbound},
		{"inbound only, SNAT port", w.ip(us, "203.0.113.6", packet.TCP, 0, ports(2223)...), passes},
		{"inbound rule of another", w.ip(us, "203.0.113.65", packet.TCP, 0, ports(443)...), passes},
		{"echo request", w.ip(us, carriedFrontend, packet.ICMP, 0, 8, 0), echo},
		{"echo request, inbound only", w.ip(us, "203.0.113.6", packet.ICMP, 0, 8, 0), echo},
		{"echo reply", w.ip(us, carriedFrontend, packet.ICMP, 0, 0, 0), passes},
		{"another protocol", w.ip(us, carriedFrontend, 47, 0), passes},
		{"instance-level", w.ip(us, "203.0.113.9", 47, 0), whole},
		{"instance-level, ssh", w.ip(us, "203.0.113.9", packet.TCP, 0, ports(22)...), whole},
		{"another machine's", w.ip(mac{2, 9, 9, 9, 9, 9}, "8.8.8.8", packet.UDP, 0), passes},
		{"VLAN", tagged(w.ip(us, "8.8.8.8", packet.UDP, 0), 5), passes},
		{"priority tag", tagged(w.ip(us, "8.8.8.8", packet.UDP, 0), 0), forward},
		{"priority tag, priority 7", tagged(w.ip(us, "8.8.8.8", packet.UDP, 0), 7<<13), forward},
		{"ARP", announcement(w.own, addr("203.0.113.254")).frame(), passes},
	}
}

// TestGuardRules sends each frame and looks which counter moves.
func TestGuardRules(t *testing.T) {
	l := newLab(t)
	for _, a := range []string{carriedFrontend, "203.0.113.6", "203.0.113.9", "203.0.113.65"} {
		l.gateway.address(t, "out0", a+"/24")
	}
	tx := must(openGuardTx())(t)
	found := must(findIngress(guarded))(t)
	found[Outside].vlans = true // as if there were some: this kernel may not have them
	ok(t, tx.build(found, disjoint(guarded.Frontends)))
	ok(t, tx.Flush())
	w := l.wire(l.world, "wo0", unix.ETH_P_ALL)
	us := mac(l.gateway.mac(t, "out0"))
	for _, d := range decisions(w, us) {
		want := dropped(t)
		w.send(d.frame)
		w.send(w.ip(us, "9.9.9.9", packet.UDP, 0)) // when this is counted, so was the one before
		want[forward]++
		if d.want != passes {
			want[d.want]++
		}
		var got map[string]uint64
		eventually(t, "the counts of "+d.what, func() bool { got = dropped(t); return got[forward] >= want[forward] })
		if !maps.Equal(got, want) {
			t.Errorf("%s: want %q counted: %v, got %v", d.what, d.want, want, got)
		}
	}
}

// ip makes an IPv4 frame with 46 bytes of packet: fragment is the header's flags and
// offset, l4 the beginning of its payload.
func (w *wire) ip(to mac, dst string, proto packet.Protocol, fragment uint16, l4 ...byte) []byte {
	f := udpFrame(to[:], dst, 0)
	f[EtherLen+9] = byte(proto)
	binary.BigEndian.PutUint16(f[EtherLen+6:], fragment)
	copy(f[EtherLen+20:], l4)
	f[EtherLen+10], f[EtherLen+11] = 0, 0
	binary.BigEndian.PutUint16(f[EtherLen+10:], headerSum(f[EtherLen:EtherLen+20]))
	return f
}

// ports is the beginning of a TCP or UDP header.
func ports(dst uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{0x9c, 0x40}, dst)
}
