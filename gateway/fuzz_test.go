package gateway

import (
	"slices"
	"testing"
	"time"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// FuzzWorker hands one packet to a gateway with flows of every kind. Built
// packets are seeds here; testdata/fuzz holds those that found a bug.
func FuzzWorker(f *testing.F) {
	for _, s := range append(hostileSeeds(), strangeSeeds()...) {
		f.Add(s.from == nexthop.Outside, s.b)
	}
	f.Fuzz(func(t *testing.T, outside bool, b []byte) {
		from := nexthop.Inside
		if outside {
			from = nexthop.Outside
		}
		r := newTarget(t)
		frame := packettest.Ethernet(b, packettest.Link{VNet: true})
		v := r.sendFrame(from, slices.Clone(frame))
		if v == DropBadChecksum { // as good as none: the fuzzer can't guess it
			packettest.Fix(b[:int(b[0]&0xf)*4])
			v = r.sendFrame(from, packettest.Ethernet(b, packettest.Link{VNet: true}))
		}
		if v.Drop() || v == LeftToHost {
			r.quiet(from)
		}
		r.wellBehaved(from, b)
		r.sleep(50 * time.Millisecond)
		r.silent()
		r.Close()
	})
}

// quiet wants that a packet which went nowhere left nothing on the other side.
func (r *rig) quiet(from nexthop.Side) {
	r.t.Helper()
	if n := len(r.sent[opposite(from)]); n != 0 {
		r.t.Errorf("%d packets crossed", n)
	}
}

// strangeSeeds are fragments and ICMP errors of the target's flows.
func strangeSeeds() (all []hostileSeed) {
	in, out := nexthop.Inside, nexthop.Outside
	for _, piece := range fragments(tcpPort(3), server) {
		all = append(all, hostileSeed{in, piece})
	}
	for _, piece := range fragments(server, "203.0.113.5:1027") {
		all = append(all, hostileSeed{out, piece})
	}
	hello := packettest.TCP(packettest.Segment{Src: "203.0.113.5:1027", Dst: server, Seq: 1001, Ack: 2001, Flags: packet.ACK})
	inner := packettest.TCP(packettest.Segment{Src: stranger, Dst: "10.0.0.10:22", Seq: 1001, Ack: 2001, Flags: packet.ACK})
	for _, quote := range [][]byte{datagram("203.0.113.5:1027", server), hello, hello[:28], ping("203.0.113.5", serverHost, 1027)} {
		all = append(all, hostileSeed{out, packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Code: 4, MTU: 1280, Quote: quote})})
	}
	options := packettest.IP{Options: []packettest.Option{packettest.RouterAlert}}
	return append(all,
		hostileSeed{in, packettest.ICMPError(packettest.Error{Src: "10.0.0.99", Type: 11, Quote: inner, IP: options})},
		hostileSeed{in, packettest.TCP(packettest.Segment{Src: client, Dst: frontendSSH, Flags: packet.SYN, Options: mssAt(true, 9000)})},
		hostileSeed{out, packettest.UDP(packettest.Datagram{Src: server, Dst: "203.0.113.5:1027", IP: packettest.IP{Options: []packettest.Option{{137, 3, 4}}}})},
	)
}
