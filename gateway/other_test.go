package gateway

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// portless are packets of the protocols that pass between an instance-level public
// IP and its backend.
func portless(src, dst string) [][]byte {
	return [][]byte{
		packettest.IPv4(packettest.Packet{Src: src, Dst: dst, Proto: packet.GRE, Payload: "\x00\x00\x08\x00" + strings.Repeat("inner", 200)}),
		packettest.SCTP(src+":3868", dst+":3868", strings.Repeat("chunk", 200)),
		packettest.UDPLite(src+":5004", dst+":5004", 0, strings.Repeat("frame", 200)),
		packettest.UDPLite(src+":5004", dst+":5004", 12, strings.Repeat("frame", 200)),
	}
}

// TestOneToOneProtocols pass both ways without a flow, whole, in pieces, and in a tunnel.
func TestOneToOneProtocols(t *testing.T) {
	for _, tunnel := range []bool{false, true} {
		for _, c := range []struct {
			from                       nexthop.Side
			src, dst, wantSrc, wantDst string
		}{
			{nexthop.Inside, pipBackend, serverHost, pipAddr, serverHost},
			{nexthop.Outside, serverHost, pipAddr, serverHost, pipBackend},
		} {
			want := portless(c.wantSrc, c.wantDst)
			for i, b := range portless(c.src, c.dst) {
				r := newSubjectRig(t, tunnel)
				if r.ports[c.from].hop == packet.TakeTTL {
					want[i] = edited(want[i], func(b []byte) { b[8]-- })
				}
				got, to := r.through(c.from, b)
				if to == c.from || !bytes.Equal(got, want[i]) {
					t.Errorf("%s became %s", packettest.Describe(b), packettest.Describe(got))
				}
				for _, name := range []string{"in order", "reversed", "each twice"} {
					whole, _ := r.inPieces(c.from, b, orders[name])
					if !bytes.Equal(whole, want[i]) {
						t.Errorf("%s %s became %s", packettest.Describe(b), name, packettest.Describe(whole))
					}
				}
				if r.fragments.Len() != 0 {
					t.Error("fragments that need no flow are followed")
				}
				r.gone()
			}
		}
	}
}

// TestOneToOneErrors about such packets go to who sent them (RFC 5508 REQ-4).
func TestOneToOneErrors(t *testing.T) {
	r := newSite(t)
	for i, sent := range portless(pipBackend, serverHost) {
		seen, _ := r.through(nexthop.Inside, sent)
		got, side := r.through(nexthop.Outside, packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Code: 4, MTU: 1300, Quote: seen}))
		v := packettest.Fields(t, got)
		if quoted := packettest.Quoted(t, got); side != nexthop.Inside || v.Src != "192.0.2.1" || v.Dst != pipBackend ||
			quoted.Src != pipBackend || quoted.Dst != serverHost || v.EchoSeq != 1300 {
			t.Errorf("%d: inside %v: %+v, quoting %+v", i, side, v, quoted)
		}
	}
	for i, sent := range portless(serverHost, pipAddr) {
		seen, _ := r.through(nexthop.Outside, sent)
		got, side := r.through(nexthop.Inside, packettest.ICMPError(packettest.Error{Src: "10.0.0.77", Type: 3, Code: 2, Quote: seen}))
		v := packettest.Fields(t, got)
		if quoted := packettest.Quoted(t, got); side != nexthop.Outside || v.Src != pipAddr || v.Dst != serverHost ||
			quoted.Src != serverHost || quoted.Dst != pipAddr {
			t.Errorf("%d: outside %v: %+v, quoting %+v", i, side, v, quoted)
		}
	}
	r.gone()
}

// TestPortlessElsewhere: where there are ports to be told apart, they are dropped.
func TestPortlessElsewhere(t *testing.T) {
	r := newSite(t)
	for _, c := range []struct {
		want     Verdict
		from     nexthop.Side
		src, dst string
	}{
		{DropProtocol, nexthop.Inside, "10.0.0.10", serverHost},
		{DropProtocol, nexthop.Inside, "10.0.0.99", serverHost},
		{DropProtocol, nexthop.Outside, serverHost, "203.0.113.5"},
		{DropProtocol, nexthop.Outside, serverHost, "10.0.0.20"},
		{DropProtocol, nexthop.Inside, pipBackend, "203.0.113.5"},
		{DropProtocol, nexthop.Inside, pipBackend, "127.0.0.1"},
		{DropProtocol, nexthop.Inside, "10.0.0.10", pipAddr},
		{DropMartian, nexthop.Outside, "203.0.113.5", pipAddr},
		{DropMartian, nexthop.Outside, "10.0.0.10", pipAddr},
		{DropMartian, nexthop.Outside, "224.0.0.1", pipAddr},
		{LeftToHost, nexthop.Inside, pipBackend, "10.0.0.1"},
		{LeftToHost, nexthop.Inside, pipBackend, "224.0.0.5"},
	} {
		for _, b := range portless(c.src, c.dst) {
			r.expect(c.want, c.from, b)
			pieces := packettest.Fragments(b, pieceMTU)
			slices.Reverse(pieces)
			for _, piece := range pieces {
				r.expect(c.want, c.from, piece)
			}
		}
	}
	for _, proto := range []packet.Protocol{2, 4, 41, 50, 51, 89, 255} {
		r.expect(DropProtocol, nexthop.Inside, packettest.IPv4(packettest.Packet{Src: pipBackend, Dst: serverHost, Proto: proto, Payload: "12345678"}))
		r.expect(DropProtocol, nexthop.Outside, packettest.IPv4(packettest.Packet{Src: serverHost, Dst: pipAddr, Proto: proto, Payload: "12345678"}))
	}
	r.silent()
}

// TestPortlessIsAPacketLikeAny: TTL, MTU and neighbours hold for it.
func TestPortlessIsAPacketLikeAny(t *testing.T) {
	r := newSite(t)
	for _, b := range portless(pipBackend, serverHost) {
		r.expect(DropTTL, nexthop.Inside, edited(bytes.Clone(b), func(b []byte) { b[8] = 1 }))
		if v := r.one(nexthop.Inside); v.Type != 11 || v.Dst != pipBackend {
			t.Errorf("the sender learns of it by %+v", v)
		}
		want, _ := r.through(nexthop.Inside, b)
		r.hops.hop[nexthop.Outside].MTU = 400
		r.expect(Forwarded, nexthop.Inside, b)
		if got, err := packettest.Reassemble(r.left(nexthop.Outside, 400)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: %s", err, packettest.Describe(got))
		}
		df := edited(bytes.Clone(b), func(b []byte) { b[6] = 0x40 })
		r.expect(DropTooBig, nexthop.Inside, df)
		r.wantError(nexthop.Inside, insideAddr.String(), 3, 4, 400, df)
		r.hops.hop[nexthop.Outside].MTU = 1500
	}
}

// TestGroupsAndBroadcast: limited broadcast and multicast are the host's to take, a
// directed one goes nowhere.
func TestGroupsAndBroadcast(t *testing.T) {
	r := newRig(t)
	r.hops.status[packettest.Addr("10.0.0.255")] = nexthop.Elsewhere // the kernel says: not a unicast route on that side
	for _, c := range []struct {
		want Verdict
		from nexthop.Side
		b    []byte
	}{
		{LeftToHost, nexthop.Inside, datagram(client, "255.255.255.255:68")},
		{LeftToHost, nexthop.Outside, datagram(stranger, "224.0.0.1:1")},
		{LeftToHost, nexthop.Outside, datagram(stranger, "239.255.255.250:1900")},
		{LeftToHost, nexthop.Inside, ping("10.0.0.10", "224.0.0.1", 1)},
		{LeftToHost, nexthop.Inside, syn(client, "255.255.255.255:80")},
		{DropNoRoute, nexthop.Inside, datagram(client, "10.0.0.255:137")},
		{DropNotOurs, nexthop.Outside, datagram(stranger, "203.0.113.255:137")},
		{DropNotOurs, nexthop.Outside, ping("192.0.2.66", "203.0.113.255", 1)},
		{DropMartian, nexthop.Outside, ping("255.255.255.255", "203.0.113.5", 1)},
		{DropMartian, nexthop.Outside, ping("203.0.113.6", "203.0.113.5", 1)},
	} {
		r.expect(c.want, c.from, c.b)
		if c.want == DropNoRoute {
			r.one(nexthop.Inside) // its sender learns that it went nowhere
		}
		r.silent()
	}
	r.gone()
}

// TestIPOptionsPass as they are, but for source routes.
func TestIPOptionsPass(t *testing.T) {
	r := newRig(t)
	opts := packettest.IP{Options: []packettest.Option{packettest.RouterAlert, {7, 7, 4, 1, 2, 3, 4}, {68, 4, 5, 0}, packettest.NOP}}
	public := ""
	for _, b := range [][]byte{
		packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: "x", IP: opts}),
		packettest.TCP(packettest.Segment{Src: client, Dst: server, Flags: packet.SYN, IP: opts}),
	} {
		r.crosses(nexthop.Inside, b, func(v *packettest.View) {
			v.Src = r.external(client)
			public = v.Src
		})
	}
	back := packettest.TCP(packettest.Segment{Src: server, Dst: public, Flags: packet.SYN | packet.ACK, IP: opts})
	r.crosses(nexthop.Outside, back, func(v *packettest.View) { v.Dst = client })
	opts.Options = []packettest.Option{packettest.NOP, {131, 7, 4, 10, 0, 0, 10}}
	r.expect(DropSourceRoute, nexthop.Inside, packettest.UDP(packettest.Datagram{Src: client, Dst: server, IP: opts}))
	r.expect(DropSourceRoute, nexthop.Outside, packettest.UDP(packettest.Datagram{Src: server, Dst: public, IP: opts}))
	r.silent()
}
