package gateway

import (
	"strings"
	"testing"
	"time"

	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// verdictCase is one way to a verdict. Nothing may go out unless it says so.
type verdictCase struct {
	want    Verdict
	name    string
	change  func(*testing.T, *Options)
	prepare func(*rig)
	from    nexthop.Side
	packet  []byte
	across  int // packets that leave on the other side
	back    int // packets that leave on the side it came from
}

const (
	client    = "10.0.0.10:40000"
	stranger  = "192.0.2.66:6666"
	publicUDP = "203.0.113.5:5000"
)

func datagram(src, dst string) []byte {
	return packettest.UDP(packettest.Datagram{Src: src, Dst: dst, Payload: "datagram"})
}

func syn(src, dst string) []byte {
	return packettest.TCP(packettest.Segment{Src: src, Dst: dst, Seq: 1000, Flags: packet.SYN})
}

// edited returns b changed by f, with valid checksums.
func edited(b []byte, f func(b []byte)) []byte {
	f(b)
	packettest.Fix(b)
	return b
}

func status(dst string, s nexthop.Status) func(*rig) {
	return func(r *rig) { r.hops.status[packettest.Addr(dst)] = s }
}

func ruleFor(change func(*nat.OutboundRule)) func(*testing.T, *Options) {
	return func(t *testing.T, o *Options) {
		out := egress()
		change(&out)
		o.Policy = newPolicy(t, out, ssh())
	}
}

var verdictCases = []verdictCase{
	{want: Forwarded, name: "UDP of a member", packet: datagram(client, server), across: 1},
	{want: Answered, name: "echo to a frontend", from: nexthop.Outside, back: 1,
		packet: packettest.EchoRequest(packettest.Echo{Src: "192.0.2.66", Dst: "203.0.113.5"})},
	{want: Reset, name: "segment of a flow given up", back: 1,
		prepare: func(r *rig) {
			r.open(client)
			r.sleep(testIdle * 51 / 50)
			r.take(nexthop.Inside)
			r.take(nexthop.Outside)
		},
		packet: packettest.TCP(packettest.Segment{Src: client, Dst: server, Seq: 1001, Ack: 0xfffffff1, Flags: packet.ACK})},
	{want: LeftToHost, name: "to the host", packet: datagram(client, "10.0.0.1:53")},
	{want: LeftToHost, name: "protocol for the host", packet: packettest.IPv4(packettest.Packet{Src: "10.0.0.10", Dst: "10.0.0.1", Proto: 89})},
	{want: LeftToHost, name: "multicast", packet: datagram(client, "224.0.0.251:5353")},
	{want: LeftToHost, name: "multicast protocol", from: nexthop.Outside,
		packet: packettest.IPv4(packettest.Packet{Src: "192.0.2.1", Dst: "224.0.0.5", Proto: 89})},
	{want: LeftToHost, name: "limited broadcast", packet: datagram(client, "255.255.255.255:67")},
	{want: LeftToHost, name: "port that the host keeps of a frontend it carries", from: nexthop.Outside,
		prepare: carryFrontend, packet: syn(stranger, "203.0.113.5:22")},
	{want: LeftToHost, name: "echo reply to the host's own ping from a frontend it carries", from: nexthop.Outside,
		prepare: carryFrontend, packet: packettest.EchoReply(packettest.Echo{Src: "192.0.2.66", Dst: "203.0.113.5", Ident: 77})},
	{want: Waiting, name: "neighbour unknown", prepare: status("198.51.100.7", nexthop.Unresolved), packet: datagram(client, server)},

	{want: DropTruncated, name: "total length beyond the frame", packet: datagram(client, server)[:30]},
	{want: DropTruncated, name: "no IP header", packet: nil},
	{want: DropNotIPv4, name: "IPv6", packet: edited(datagram(client, server), func(b []byte) { b[0] = 0x65 })},
	{want: DropBadHeader, name: "header of 16 bytes", packet: edited(datagram(client, server), func(b []byte) { b[0] = 0x44 })},
	{want: DropBadChecksum, name: "IP checksum", packet: append([]byte(nil), flip(datagram(client, server), 10)...)},
	{want: DropBadTransport, name: "TCP header longer than the packet",
		packet: edited(syn(client, server), func(b []byte) { b[32] = 0xf0 })},

	{want: DropMartian, name: "loopback source", packet: datagram("127.0.0.1:1", server)},
	{want: DropMartian, name: "no source", from: nexthop.Outside, packet: datagram("0.0.0.0:1", publicUDP)},
	{want: DropMartian, name: "multicast source", from: nexthop.Outside, packet: datagram("224.0.0.1:1", publicUDP)},
	{want: DropMartian, name: "broadcast source", packet: datagram("255.255.255.255:1", server)},
	{want: DropMartian, name: "land", from: nexthop.Outside, packet: syn("203.0.113.5:2222", "203.0.113.5:2222")},
	{want: DropMartian, name: "land from the inside", packet: datagram("10.0.0.10:1", "10.0.0.10:2")},
	{want: DropMartian, name: "loopback destination", packet: datagram(client, "127.0.0.1:53")},
	{want: DropMartian, name: "reserved destination", packet: datagram(client, "240.0.0.1:53")},
	{want: DropMartian, name: "no destination", packet: datagram(client, "0.0.0.0:53")},
	{want: DropMartian, name: "unknown protocol from loopback", packet: packettest.IPv4(packettest.Packet{Src: "127.0.0.1", Dst: "10.0.0.1", Proto: 47})},

	{want: DropWrongSide, name: "member's tuple from outside", from: nexthop.Outside,
		prepare: func(r *rig) { r.pass(nexthop.Inside, datagram(client, server)) }, packet: datagram(client, server)},
	{want: DropNotMember, name: "no member", packet: datagram("10.0.0.99:1", server)},
	{want: DropNoRule, name: "member without a rule for UDP",
		change: ruleFor(func(o *nat.OutboundRule) { o.Protocols = []packet.Protocol{packet.TCP} }), packet: datagram(client, server)},
	{want: DropProtocol, name: "GRE", packet: packettest.IPv4(packettest.Packet{Src: "10.0.0.10", Dst: "198.51.100.7", Proto: 47})},
	{want: DropProtocol, name: "ICMP timestamp", packet: packettest.ICMPError(packettest.Error{Src: "10.0.0.10", Dst: "198.51.100.7", Type: 13})},
	{want: Forwarded, name: "first fragment", packet: fragments(client, server)[0], across: 1},
	{want: Waiting, name: "fragment before its first", packet: fragments(client, server)[1]},
	{want: DropFragment, name: "fragment of which the first did not pass",
		prepare: func(r *rig) { r.expect(DropNotMember, nexthop.Inside, fragments("10.0.0.99:1", server)[0]) }, packet: fragments("10.0.0.99:1", server)[1]},
	{want: DropFragment, name: "fragment once more",
		prepare: func(r *rig) {
			r.expect(Waiting, nexthop.Inside, fragments(client, server)[1])
		}, packet: fragments(client, server)[1]},
	{want: DropFragment, name: "fragment that overlaps", prepare: func(r *rig) { r.pass(nexthop.Inside, packettest.Fragments(long(client, server), 44)[0]) },
		packet: packettest.Fragments(long(client, server), 36)[1]},
	{want: DropFragment, name: "ICMP error in pieces", from: nexthop.Outside,
		packet: packettest.Fragments(packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Quote: datagram("203.0.113.5:5000", server)}), 36)[0]},
	{want: LeftToHost, name: "later fragment to the host", packet: fragments(client, "10.0.0.1:53")[1]},
	{want: LeftToHost, name: "later fragment to a group", packet: fragments(client, "224.0.0.251:5353")[1]},
	{want: DropMartian, name: "later fragment from nowhere", packet: fragments("127.0.0.1:1", server)[1]},
	{want: DropSourceRoute, name: "loose source route", packet: packettest.UDP(packettest.Datagram{Src: client, Dst: server, IP: packettest.IP{Options: []packettest.Option{{131, 7, 4, 192, 0, 2, 1}}}})},
	{want: DropSourceRoute, name: "strict source route to a frontend", from: nexthop.Outside,
		packet: packettest.UDP(packettest.Datagram{Src: stranger, Dst: publicUDP, IP: packettest.IP{Options: []packettest.Option{packettest.NOP, {137, 3, 4}}}})},
	{want: DropICMPError, name: "ICMP error", from: nexthop.Outside,
		packet: packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Quote: datagram("203.0.113.5:5000", server)})},
	{want: DropNotOurs, name: "from the outside to elsewhere", from: nexthop.Outside, packet: datagram(stranger, "192.0.2.1:53")},
	{want: DropNotOurs, name: "from the outside to a member", from: nexthop.Outside, packet: datagram(stranger, client)},

	{want: DropNoFlow, name: "stranger to a frontend", from: nexthop.Outside, packet: datagram(stranger, publicUDP)},
	{want: DropNoFlow, name: "SNAT port of a frontend the host carries", from: nexthop.Outside, prepare: carryFrontend, packet: datagram(stranger, publicUDP)},
	{want: DropNoFlow, name: "frontend without rules", from: nexthop.Outside, packet: syn(stranger, "203.0.113.6:443")},
	{want: DropNoFlow, name: "ACK of no flow", change: noLate, packet: packettest.TCP(packettest.Segment{Src: client, Dst: server, Flags: packet.ACK})},
	{want: DropNoFlow, name: "SYN|ACK of no flow", change: noLate, packet: packettest.TCP(packettest.Segment{Src: client, Dst: server, Flags: packet.SYN | packet.ACK})},
	{want: DropNoFlow, name: "echo reply of no flow", packet: packettest.EchoReply(packettest.Echo{Src: "10.0.0.10", Dst: "198.51.100.7", Ident: 5})},
	{want: DropNoFlow, name: "ACK to a rule's port", from: nexthop.Outside, change: noLate,
		packet: packettest.TCP(packettest.Segment{Src: stranger, Dst: "203.0.113.5:2222", Flags: packet.ACK})},
	{want: DropNoFlow, name: "RST of no flow", packet: packettest.TCP(packettest.Segment{Src: client, Dst: server, Flags: packet.RST})},
	{want: Reset, name: "ACK of no flow", packet: packettest.TCP(packettest.Segment{Src: client, Dst: server, Flags: packet.ACK}), back: 1},
	{want: Reset, name: "ACK to a rule's port", from: nexthop.Outside, back: 1,
		packet: packettest.TCP(packettest.Segment{Src: stranger, Dst: "203.0.113.5:2222", Flags: packet.ACK})},
	{want: Reset, name: "answer of a rule's backend", back: 1,
		packet: packettest.TCP(packettest.Segment{Src: "10.0.0.10:22", Dst: stranger, Flags: packet.ACK})},
	{want: Reset, name: "answer to a SNAT port", from: nexthop.Outside, back: 1,
		packet: packettest.TCP(packettest.Segment{Src: server, Dst: "203.0.113.5:1030", Flags: packet.ACK})},
	{want: DropDenied, name: "client that the list does not permit", from: nexthop.Outside, change: denied, packet: syn(stranger, "203.0.113.5:2222")},
	{want: DropNoBackend, name: "every backend is down", from: nexthop.Outside, change: backendless, packet: syn(stranger, "203.0.113.5:2222")},
	{want: DropExhausted, name: "no port left", back: 1,
		change:  ruleFor(func(o *nat.OutboundRule) { o.Ports = 8 }),
		prepare: func(r *rig) { r.fill("10.0.0.10", 8) }, packet: datagram(client, server)},
	{want: DropTableFull, name: "table full", back: 1, change: func(_ *testing.T, o *Options) { o.MaxFlows = 4 },
		prepare: func(r *rig) { r.fill("10.0.0.10", 4) }, packet: datagram(client, server)},
	{want: DropConflict, name: "the backend has a flow of its own with that client", from: nexthop.Outside,
		prepare: func(r *rig) { r.pass(nexthop.Inside, syn("10.0.0.10:22", stranger)) }, packet: syn(stranger, "203.0.113.5:2222")},
	{want: DropTTL, name: "TTL 1", back: 1,
		packet: edited(datagram(client, server), func(b []byte) { b[8] = 1 })},
	{want: DropTTL, name: "TTL 0", back: 1,
		packet: edited(datagram(client, server), func(b []byte) { b[8] = 0 })},
	{want: DropTooBig, name: "larger than the MTU", back: 1,
		prepare: func(r *rig) { r.hops.hop[nexthop.Outside].MTU = 35 },
		packet:  edited(datagram(client, server), func(b []byte) { b[6] = 0x40 })},
	{want: DropNoRoute, name: "no route", prepare: status("198.51.100.7", nexthop.NoRoute), packet: datagram(client, server), back: 1},
	{want: DropNoRoute, name: "route that leads elsewhere", prepare: status("198.51.100.7", nexthop.Elsewhere), packet: datagram(client, server), back: 1},
	{want: DropNoRoute, name: "backend without a route", from: nexthop.Outside,
		prepare: status("10.0.0.10", nexthop.NoRoute), packet: syn(stranger, "203.0.113.5:2222"), back: 1},
	{want: DropUnreachable, name: "neighbour that does not answer", prepare: status("198.51.100.7", nexthop.Unreachable), packet: datagram(client, server), back: 1},
	{want: DropUnresolved, name: "too many wait for that neighbour",
		prepare: func(r *rig) {
			r.hops.status[packettest.Addr("198.51.100.7")] = nexthop.Unresolved
			for range maxForOne {
				r.expect(Waiting, nexthop.Inside, datagram(client, server))
			}
		}, packet: datagram(client, server)},
}

// long is a datagram of 64 bytes of payload, fragments its two halves.
func long(src, dst string) []byte {
	return packettest.UDP(packettest.Datagram{Src: src, Dst: dst, Payload: strings.Repeat("datagram", 8), IP: packettest.IP{ID: 7}})
}

func fragments(src, dst string) [][]byte { return packettest.Fragments(long(src, dst), 60) }

func noLate(_ *testing.T, o *Options) { lateOff(o) }

func denied(t *testing.T, o *Options) {
	rule := ssh()
	rule.ACL = nat.ACL{{Order: 100, Permit: true, Network: packettest.Addr("198.51.100.0"), Mask: packettest.Addr("255.255.255.0")}}
	o.Policy = newPolicy(t, egress(), rule)
}

func backendless(t *testing.T, o *Options) {
	rule := ssh()
	rule.Pool = &nat.Pool{Name: "vms", Probe: "http", Rules: []uint16{ruleSSH}, Backends: []nat.Backend{{Addr: memberAddr}}}
	o.Policy, o.Pools = newPolicy(t, egress(), rule), []*nat.Pool{rule.Pool}
}

func flip(b []byte, at int) []byte {
	b[at] ^= 0x80
	return b
}

func carryFrontend(r *rig) { r.hops.local[publicAddr] = true }

// fill opens n UDP flows of a member, each with a port of its own.
func (r *rig) fill(member string, n int) {
	r.t.Helper()
	for i := range n {
		r.pass(nexthop.Inside, datagram(endpoint(member, uint16(1000+i)), server))
	}
}

func TestVerdicts(t *testing.T) {
	var reached [numVerdicts]bool
	for _, c := range verdictCases {
		reached[c.want] = true
		t.Run(c.want.String()+"/"+c.name, func(t *testing.T) {
			r := newRig(t, func(o *Options) {
				if c.change != nil {
					c.change(t, o)
				}
			})
			if c.prepare != nil {
				c.prepare(r)
			}
			before := r.Snapshot()
			r.expect(c.want, c.from, c.packet)
			if n := r.Snapshot().Counters.Verdicts[c.want] - before.Counters.Verdicts[c.want]; n != 1 {
				t.Errorf("the verdict is counted %d times", n)
			}
			if n := len(r.take(opposite(c.from))); n != c.across {
				t.Errorf("%d packets crossed, want %d", n, c.across)
			}
			if n := len(r.take(c.from)); n != c.back {
				t.Errorf("%d packets came back, want %d", n, c.back)
			}
			if n := r.table.Len(); c.want.Drop() && n != before.Flows {
				t.Errorf("a dropped packet left %d flows, before it there were %d", n, before.Flows)
			}
			r.sleep(time.Second)
			r.silent()
		})
	}
	for v := range numVerdicts {
		if !reached[v] {
			t.Errorf("no case reaches %v", v)
		}
	}
}

func TestVerdictNames(t *testing.T) {
	seen := map[string]Verdict{}
	for v := range numVerdicts {
		if other, ok := seen[v.String()]; ok || v.String() == "" {
			t.Errorf("verdicts %d and %d are both %q", v, other, v)
		}
		seen[v.String()] = v
	}
	if Waiting.Drop() || !DropTruncated.Drop() || !DropUnresolved.Drop() {
		t.Error("the drops are not those from DropTruncated on")
	}
}
